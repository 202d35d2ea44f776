/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, maps and the tree that change all the time are right after rounds of pre-copy. */
/* test: modes=none,precopy */
/* test: checkpoint=--max-downtime 1 --max-rounds 6 */
/* test: unsteady */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

enum { PAGE = 4096, WORDS = PAGE / 8, PAGES = 8192, AREAS = 24, AREA_PAGES = 64 };

/* Seen by all: who writes notes here what must be there. */
struct board {
	int stop;
	uint64_t forks, execs, moves, writes;
	uint64_t shared_sum[16];	/* of each page of `shared` */
};

static volatile struct board *board;
static uint64_t *shared;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x7fb5d329728ea185;
	x ^= x >> 27;
	x *= 0x81dadef4bc2dd44d;
	return x ^ x >> 33;
}

static uint64_t next(uint64_t *state)
{
	return mix(*state += 0x9e3779b97f4a7c15);
}

static void fill_page(uint64_t *page, uint64_t seed)
{
	for (int i = 0; i < WORDS; i++)
		page[i] = mix(seed + i);
}

static void check_page(const uint64_t *page, uint64_t seed, const char *what, int number)
{
	for (int i = 0; i < WORDS; i++)
		test_check(page[i] == (seed ? mix(seed + i) : 0), "%s: page %d, word %d: %lx, seed %lx",
			   what, number, i, page[i], seed);
}

/* ---- one large area ---- */

struct pages {
	uint64_t *at;
	uint64_t seeds[PAGES];
	uint64_t state;
};

static struct pages *pages_new(uint64_t state)
{
	struct pages *p = calloc(1, sizeof(*p));

	test_must(p);
	p->state = state;
	p->at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	test_must(p->at != MAP_FAILED);
	return p;
}

static void pages_change(struct pages *p)
{
	uint64_t dice = next(&p->state);
	int page = dice % PAGES;
	uint64_t *at = p->at + (size_t)page * WORDS;

	if ((dice >> 32) % 16 == 0) {
		test_must(!madvise(at, PAGE, MADV_DONTNEED));
		p->seeds[page] = 0;
		return;
	}
	p->seeds[page] = dice;
	fill_page(at, dice);
}

static void pages_check(const struct pages *p, const char *what)
{
	for (int i = 0; i < PAGES; i++)
		check_page(p->at + (size_t)i * WORDS, p->seeds[i], what, i);
}

/* ---- areas that come and go ---- */

struct area {
	uint64_t *at;
	uint64_t seed;
	int pages, guard;
};

static struct area areas[AREAS];

static void area_check(const struct area *a)
{
	test_must(!mprotect(a->at, (size_t)a->pages * PAGE, PROT_READ | PROT_WRITE));
	for (int i = 0; i < a->pages; i++)
		if (i != a->guard)
			check_page(a->at + (size_t)i * WORDS, a->seed + i, "area", i);
}

static void area_make(struct area *a, uint64_t *state)
{
	a->pages = 1 + next(state) % AREA_PAGES;
	a->seed = next(state) | 1;
	a->guard = -1;
	a->at = mmap(NULL, (size_t)a->pages * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(a->at != MAP_FAILED);
	for (int i = 0; i < a->pages; i++)
		fill_page(a->at + (size_t)i * WORDS, a->seed + i);
	if (next(state) % 3 == 0 && a->pages > 2 &&
	    !madvise(a->at + WORDS, PAGE, MADV_GUARD_INSTALL))
		a->guard = 1;
}

/* It moves, and one page in it is another one then. */
static void area_move(struct area *a, uint64_t *state)
{
	size_t size = (size_t)a->pages * PAGE;
	char *to = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	test_must(to != MAP_FAILED);
	test_must(mremap(a->at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	test_must(!munmap(to + size, PAGE));
	a->at = (uint64_t *)to;
	board->moves++;
}

static void area_unguard(struct area *a)
{
	if (a->guard < 0)
		return;
	test_must(!madvise(a->at + WORDS, PAGE, MADV_GUARD_REMOVE));
	fill_page(a->at + WORDS, a->seed + 1);
	a->guard = -1;
}

static void areas_change(uint64_t *state)
{
	struct area *a = &areas[next(state) % AREAS];

	if (!a->at) {
		area_make(a, state);
		return;
	}
	area_check(a);
	switch (next(state) % 4) {
	case 0:
		test_must(!munmap(a->at, (size_t)a->pages * PAGE));
		a->at = NULL;
		break;
	case 1:
		area_move(a, state);
		break;
	case 2:
		test_must(!mprotect(a->at, (size_t)a->pages * PAGE, PROT_READ));
		break;
	case 3:
		area_unguard(a);
		break;
	}
}

/* ---- processes that come and go ---- */

/* Writes to shared memory what nobody but the board knows of. */
static void write_shared(uint64_t *state)
{
	int page = next(state) % 16;
	uint64_t seed = next(state) | 1;

	fill_page(shared + (size_t)page * WORDS, seed);
	board->shared_sum[page] = seed;
}

/* A child has what its parent had, and lives for a moment, or until the end. */
static void child(struct pages *inherited, uint64_t state)
{
	bool stays = next(&state) % 4 == 0;
	int changes = next(&state) % 200, grandchild = next(&state) % 3 == 0;

	prctl(PR_SET_PDEATHSIG, 0);
	for (int i = 0; i < changes; i++)
		pages_change(inherited);
	if (grandchild && fork() == 0) {
		test_sleep_ms(next(&state) % 40);
		for (int i = 0; i < 100; i++)
			pages_change(inherited);
		pages_check(inherited, "grandchild");
		_exit(0);
	}
	while (stays && !board->stop) {
		pages_change(inherited);
		test_sleep_ms(1);
	}
	if (!stays)
		test_sleep_ms(next(&state) % 20);
	pages_check(inherited, "child");
	if (next(&state) % 4 == 0) {
		board->execs++;
		execl("/bin/true", "true", NULL);
	}
	_exit(0);
}

static void reap(void)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0)
		test_check(status == 0, "a child ended with %#x", status);
}

/* This one bears all others, and adopts those whose parents have ended. */
static void bearer(void)
{
	uint64_t state = 4711;
	struct pages *p = pages_new(1);
	int living = 0;

	test_must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	for (int i = 0; i < PAGES; i++)
		pages_change(p);
	while (!board->stop) {
		pid_t pid = 0;

		if (living < 40) {
			pid = fork();
			test_must(pid >= 0);
		}
		if (!pid && living < 40)
			child(p, next(&state));
		living += pid > 0;
		board->forks++;
		write_shared(&state);
		areas_change(&state);
		for (int i = 0; i < 20; i++)
			pages_change(p);
		reap();
		test_sleep_ms(3);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	pages_check(p, "bearer");
	for (int i = 0; i < AREAS; i++)
		if (areas[i].at)
			area_check(&areas[i]);
	_exit(0);
}

/* ---- a thread that writes without a pause ---- */

static void *writer(void *argument)
{
	struct pages *p = argument;

	while (!board->stop) {
		pages_change(p);
		board->writes++;
		if (board->writes % 64 == 0)
			sched_yield();
	}
	pages_check(p, "writer");
	return NULL;
}

int main(int argc, char **argv)
{
	struct pages *p;
	pthread_t thread;
	pid_t pid;

	test_init(argc, argv);
	board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(board != MAP_FAILED && shared != MAP_FAILED);
	pid = fork();
	test_must(pid >= 0);
	if (!pid)
		bearer();
	p = pages_new(2);
	test_must(!pthread_create(&thread, NULL, writer, p));
	test_wait_until(board->forks > 20 && board->writes > 10000, "nothing happens");
	test_checkpoint_here();
	test_sleep_ms(50);
	board->stop = 1;
	test_must(!pthread_join(thread, NULL));
	test_child_ends(pid);
	for (int i = 0; i < 16; i++)
		check_page(shared + (size_t)i * WORDS, board->shared_sum[i], "shared", i);
	test_pass();
}
