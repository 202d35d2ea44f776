/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Areas keep place, flags and pages: moved, guarded, growing, named, vast ones, and many. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, STRIPES = 3000 };
#define RW (PROT_READ | PROT_WRITE)
#define VAST ((size_t)64 << 30)

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
enum { GUARD_INSTALL = 102 };	/* MADV_GUARD_INSTALL, Linux 6.13 */

static char *map(size_t size, int prot, int flags)
{
	char *at = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	test_must(at != MAP_FAILED);
	return at;
}

/* Whether touching a byte kills: tried by a child. */
static bool deadly(volatile char *at)
{
	int status;
	pid_t pid = fork();

	test_must(pid >= 0);
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		*at = 1;
		_exit(0);
	}
	test_must(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* ---- moved ---- */

static char *moved, *grown, *shrunk;

/* Pages go with an area that mremap moves, and its offset is then not its address any more. */
static void make_moved(void)
{
	char *from = map(20 * PAGE, RW, 0), *to = map(40 * PAGE, PROT_NONE, 0);

	for (int i = 0; i < 20; i++)
		from[i * PAGE] = i + 1;
	moved = mremap(from + 5 * PAGE, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       to + 20 * PAGE);
	test_must(moved == to + 20 * PAGE);
	grown = mremap(from + 15 * PAGE, 5 * PAGE, 30 * PAGE, MREMAP_MAYMOVE);
	test_must(grown != MAP_FAILED);
	shrunk = mremap(from, 5 * PAGE, 2 * PAGE, 0);
	test_must(shrunk == from);
}

static void check_moved(void)
{
	for (int i = 0; i < 10; i++)
		test_check(moved[i * PAGE] == 5 + i + 1, "moved page %d holds %d", i,
			   moved[i * PAGE]);
	for (int i = 0; i < 30; i++)
		test_check(grown[i * PAGE] == (i < 5 ? 15 + i + 1 : 0), "grown page %d", i);
	test_check(shrunk[PAGE] == 2, "the rest of the moved area holds %d", shrunk[PAGE]);
}

/* ---- guarded ---- */

static char *guarded, *guarded_shared;
static bool has_guards;

static void make_guarded(void)
{
	guarded = map(16 * PAGE, RW, 0);
	for (int i = 0; i < 16; i++)
		guarded[i * PAGE] = i + 1;
	has_guards = !madvise(guarded + 4 * PAGE, 3 * PAGE, GUARD_INSTALL);
	guarded_shared = mmap(NULL, 16 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(guarded_shared != MAP_FAILED);
	guarded_shared[5 * PAGE] = 5;
	if (madvise(guarded_shared + 8 * PAGE, 2 * PAGE, GUARD_INSTALL))
		guarded_shared = NULL;
	if (!has_guards)
		test_must(!mprotect(guarded + 4 * PAGE, 3 * PAGE, PROT_NONE));
}

static void check_guarded(void)
{
	for (int i = 0; i < 16; i++) {
		bool guard = i >= 4 && i < 7;

		test_check(deadly(guarded + i * PAGE) == guard, "page %d is %sa guard", i,
			   guard ? "not " : "");
		test_check(guard || guarded[i * PAGE] == i + 1, "page %d beside guards", i);
		test_check(!guarded_shared ||
				   deadly(guarded_shared + i * PAGE) == (i == 8 || i == 9),
			   "shared page %d is %sa guard", i, i == 8 || i == 9 ? "not " : "");
	}
}

/* ---- growing ---- */

static char *growing;

/* Below the stack-like area is room for it, which the kernel gives on a touch. */
static void make_growing(void)
{
	char *room = map(600 * PAGE, PROT_NONE, 0);

	test_must(!munmap(room, 600 * PAGE));
	growing = mmap(room + 590 * PAGE, 10 * PAGE, RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	test_must(growing == room + 590 * PAGE);
	growing[0] = 1;
	for (int i = 1; i <= 20; i++)
		growing[-i * PAGE] = i;
}

static void check_growing(void)
{
	for (int i = 1; i <= 20; i++)
		test_check(growing[-i * PAGE] == i, "page %d below is %d", i, growing[-i * PAGE]);
	for (int i = 21; i <= 40; i++)
		growing[-i * PAGE] = i;
	test_check(growing[-40 * PAGE] == 40, "it does not grow");
}

/* Deep enough that the main stack must grow, too. */
static int __attribute__((noinline)) deep(int depth)
{
	volatile char room[PAGE];

	room[0] = depth;
	return depth ? deep(depth - 1) + room[0] - (char)depth : 0;
}

/* ---- many, named, vast ---- */

static char *stripes, *named, *vast;
static bool has_names;

static void make_others(void)
{
	stripes = map(STRIPES * 2 * PAGE, RW, 0);
	for (int i = 0; i < STRIPES; i++) {
		stripes[2 * i * PAGE] = i;
		test_must(!mprotect(stripes + 2 * i * PAGE, PAGE, PROT_READ));
	}
	named = map(8 * PAGE, RW, 0);
	has_names = !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named + PAGE, 4 * PAGE, "of a name");
	named[2 * PAGE] = 7;
	vast = map(VAST, RW, MAP_NORESERVE);
	test_must(!madvise(vast, VAST, MADV_NOHUGEPAGE));
	for (size_t at = 0; at < VAST; at += VAST / 64 + PAGE)
		vast[at] = 1 + at / PAGE % 100;
}

static bool name_is_there(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], wanted[64];
	bool found = false;

	test_must(maps);
	snprintf(wanted, sizeof(wanted), "%lx-%lx ", (unsigned long)(named + PAGE),
		 (unsigned long)(named + 5 * PAGE));
	while (fgets(line, sizeof(line), maps))
		found |= !strncmp(line, wanted, strlen(wanted)) && strstr(line, "[anon:of a name]");
	fclose(maps);
	return found;
}

static void check_others(void)
{
	for (int i = 0; i < STRIPES; i++)
		test_check(stripes[2 * i * PAGE] == (char)i, "stripe %d holds %d", i,
			   stripes[2 * i * PAGE]);
	test_check(deadly(stripes) && !deadly(stripes + PAGE), "stripes are protected otherwise");
	test_check(named[2 * PAGE] == 7, "named memory holds %d", named[2 * PAGE]);
	test_check(!has_names || name_is_there(), "the name is lost");
	for (size_t at = 0; at < VAST; at += VAST / 64 + PAGE)
		test_check(vast[at] == (char)(1 + at / PAGE % 100), "vast memory at %zu", at);
}

/* ---- threads' stacks; the vdso ---- */

static void *sleeper(void *turn)
{
	volatile char deep_down[200 * 1024];

	memset((char *)deep_down, 5, sizeof(deep_down));
	__atomic_add_fetch((int *)turn, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	for (size_t i = 0; i < sizeof(deep_down); i++)
		test_check(deep_down[i] == 5, "a thread's stack has changed at %zu", i);
	return NULL;
}

int main(int argc, char **argv)
{
	struct timespec before, after;
	pthread_t thread;
	int turn = 0;

	test_init(argc, argv);
	make_moved();
	make_guarded();
	make_others();
	test_must(!pthread_create(&thread, NULL, sleeper, &turn));
	test_wait_until(__atomic_load_n(&turn, __ATOMIC_SEQ_CST), "no thread");
	/* Last, so that nothing else is put into the room below it. */
	make_growing();
	clock_gettime(CLOCK_MONOTONIC, &before);

	test_checkpoint_here();

	clock_gettime(CLOCK_MONOTONIC, &after);
	test_check(after.tv_sec >= before.tv_sec && after.tv_sec < before.tv_sec + 60,
		   "the clock went from %ld to %ld", before.tv_sec, after.tv_sec);
	check_moved();
	check_guarded();
	check_growing();
	check_others();
	test_check(deep(500) == 0, "the main stack");
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
