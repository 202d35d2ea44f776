/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared anonymous memory stays one object for all tasks and all places that map it. */
/* test: kinds=shared-anonymous */
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 600, WORD_PER_PAGE = PAGE / 8, MEMBERS = 3 };
#define RW (PROT_READ | PROT_WRITE)

static uint64_t *word(void *base, size_t page)
{
	return (uint64_t *)base + page * WORD_PER_PAGE;
}

/* The board on which the processes take turns after the checkpoint. */
struct board {
	int turn;
	int passed;
};

static struct board *board;
static char *common, *again, *moved, *sparse, *read_only;

static void make_maps(void)
{
	common = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(common != MAP_FAILED);
	for (size_t i = 0; i < PAGES; i++)
		*word(common, i) = i + 1;
	/* The same object at a second place, from page 100 on (an old size of 0 duplicates). */
	again = mremap(common + 100 * PAGE, 0, 50 * PAGE, MREMAP_MAYMOVE);
	test_must(again != MAP_FAILED);
	/* A hole in it, and a read-only piece. */
	test_must(!munmap(common + 200 * PAGE, PAGE));
	test_must(!mprotect(common + 300 * PAGE, PAGE, PROT_READ));
	sparse = mmap(NULL, 20000 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	test_must(sparse != MAP_FAILED);
	for (size_t i = 0; i < 20000; i += 777)
		*word(sparse, i) = i + 5;
	read_only = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(read_only != MAP_FAILED);
	strcpy(read_only, "written before it was made read-only");
	test_must(!mprotect(read_only, 4 * PAGE, PROT_READ));
	board = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(board != MAP_FAILED);
}

static void check_maps(int member)
{
	for (size_t i = 0; i < PAGES; i++)
		if (i != 200 && i != 400 && (i != 350 || member != 1))
			test_check(*word(common, i) == i + 1, "member %d: page %zu holds %lu",
				   member, i, *word(common, i));
	if (member == 1)
		test_check(!strcmp(common + 350 * PAGE, "private"), "the private page is lost");
	for (size_t i = 0; i < 50; i++)
		test_check(*word(again, i) == i + 101,
			   "member %d: second place, page %zu holds %lu", member, i,
			   *word(again, i));
	for (size_t i = 0; i < 20000; i++)
		test_check(*word(sparse, i) == (i % 777 ? 0 : i + 5), "member %d: sparse page %zu",
			   member, i);
	test_check(!strcmp(read_only, "written before it was made read-only"),
		   "member %d: read-only", member);
	test_check(mprotect(read_only, PAGE, RW) == 0,
		   "member %d: read-only cannot be made writable", member);
}

/* Each in turn adds to a word that all see, at different addresses. */
static void take_turn(int member)
{
	uint64_t *count = member == 1 ? word(moved, 0) : word(common, 400);

	test_wait_until(__atomic_load_n(&board->turn, __ATOMIC_SEQ_CST) == member,
			"member %d never had its turn", member);
	test_check(*count == (uint64_t)1000 + member, "member %d reads %lu", member, *count);
	++*count;
	__atomic_add_fetch(&board->passed, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&board->turn, member + 1, __ATOMIC_SEQ_CST);
}

/* Member 1 sees page 400 at an address of its own, and has put a private page over page 350. */
static void rearrange(void)
{
	char *own = common + 350 * PAGE;

	moved = mremap(common + 400 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	test_must(moved != MAP_FAILED);
	test_must(mmap(own, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == own);
	strcpy(own, "private");
}

static void be_member(int member)
{
	if (member == 1)
		rearrange();
	__atomic_add_fetch(&board->turn, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	test_wait_until(__atomic_load_n(&board->turn, __ATOMIC_SEQ_CST) != -1, "no start");
	check_maps(member);
	take_turn(member);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t members[MEMBERS];
	int status;

	test_init(argc, argv);
	make_maps();
	*word(common, 400) = 1000;
	for (int i = 1; i < MEMBERS; i++) {
		members[i] = fork();
		test_must(members[i] >= 0);
		if (!members[i])
			be_member(i);
	}
	test_wait_until(__atomic_load_n(&board->turn, __ATOMIC_SEQ_CST) == MEMBERS - 1, "members");
	board->turn = -1;

	test_checkpoint_here();

	check_maps(0);
	__atomic_store_n(&board->turn, 0, __ATOMIC_SEQ_CST);
	take_turn(0);
	for (int i = 1; i < MEMBERS; i++) {
		test_must(waitpid(members[i], &status, 0) == members[i]);
		test_check(status == 0, "member %d: wait status %#x", i, status);
	}
	test_check(*word(common, 400) == 1000 + MEMBERS, "%lu in the end", *word(common, 400));
	test_check(board->passed == MEMBERS, "%d passed", board->passed);
	test_pass();
}
