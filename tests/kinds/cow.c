/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that a fork left shared are still one page afterwards, and copied when written. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 2048, SPARSE_PAGES = 64, WORDS = PAGE / 8 };

static uint64_t *area;
/* Between pages that were written are some that were only read: all of those are the page of
 * zeros, which is mapped more than once without a fork. */
static uint64_t *sparse;

/* Who has written page i: each of the three rewrites some pages of its own after the forks. */
static bool rewritten(int member, int i)
{
	return member == 1 ? i % 4 == 0 : member == 2 ? i % 4 == 1 || i % 8 == 0 : i % 64 == 3;
}

/* What member sees in page i; 2 is a child of 1, 1 of 0 and forked before they wrote. */
static uint64_t content(int member, int i)
{
	return rewritten(member, i) ? 1000000ull * (member + 1) + i : (uint64_t)i + 1;
}

static void check_content(int member)
{
	for (int i = 0; i < PAGES; i++) {
		test_check(area[i * WORDS] == content(member, i), "member %d: page %d holds %lu",
			   member, i, area[i * WORDS]);
		test_check(area[(i + 1) * WORDS - 1] == (uint64_t)i,
			   "member %d: page %d ends with %lu", member, i,
			   area[(i + 1) * WORDS - 1]);
	}
}

static void check_sparse(int member)
{
	for (int i = 0; i < SPARSE_PAGES; i++)
		test_check(sparse[i * WORDS] == (i % 3 == 1 ? 0u : i + 1u),
			   "member %d: sparse page %d holds %lu", member, i, sparse[i * WORDS]);
}

static void rewrite(int member)
{
	for (int i = 0; i < PAGES; i++)
		if (rewritten(member, i))
			area[i * WORDS] = content(member, i);
}

/* Page frame numbers of the area in a process. */
static void frames(pid_t pid, uint64_t numbers[PAGES])
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	test_must(fd >= 0);
	test_must(pread(fd, numbers, PAGES * 8, (uintptr_t)area / PAGE * 8) == PAGES * 8);
	close(fd);
	for (int i = 0; i < PAGES; i++) {
		test_check(numbers[i] >> 63, "process %d: page %d is not present", pid, i);
		numbers[i] &= (1ull << 55) - 1;
	}
}

static void check_sharing(const pid_t pids[3])
{
	static uint64_t numbers[3][PAGES], again[3][PAGES];

	/* The kernel may move pages while we look. */
	do {
		for (int member = 0; member < 3; member++)
			frames(pids[member], numbers[member]);
		for (int member = 0; member < 3; member++)
			frames(pids[member], again[member]);
	} while (memcmp(numbers, again, sizeof(numbers)));
	for (int i = 0; i < PAGES; i++)
		for (int a = 0; a < 3; a++)
			for (int b = a + 1; b < 3; b++) {
				bool same = !rewritten(a, i) && !rewritten(b, i);

				test_check((numbers[a][i] == numbers[b][i]) == same,
					   "page %d of members %d and %d: %s", i, a, b,
					   same ? "copied" : "the same though written");
			}
}

/* Files of a name say that a member has come to a point. */
static void reach(const char *point, int member)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%d", point, member);
	test_reach(name);
}

static void await(const char *point, int member)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%d", point, member);
	test_await(name);
}

static void stay(int member)
{
	await("forked", 2);
	rewrite(member);
	reach("ready", member);
	test_wait_for_go();
	check_sparse(member);
	check_content(member);
	await("compared", 0);
	/* Writing copies: nobody else sees it. */
	area[5 * WORDS + member + 1] = member + 100;
	reach("wrote", member);
	for (int other = 0; other < 3; other++)
		await("wrote", other);
	for (int other = 0; other < 3; other++)
		test_check(area[5 * WORDS + other + 1] == (other == member ? member + 100u : 0),
			   "member %d sees what %d wrote", member, other);
}

/* The pids of the two descendants come in this file. */
static void start_members(pid_t pids[3])
{
	pids[0] = getpid();
	pids[1] = fork();
	test_must(pids[1] >= 0);
	if (!pids[1]) {
		pid_t child = fork();
		int status;

		test_must(child >= 0);
		if (!child) {
			reach("forked", 2);
			stay(2);
			_exit(0);
		}
		stay(1);
		test_must(waitpid(child, &status, 0) == child && status == 0);
		_exit(0);
	}
	await("ready", 1);
	await("ready", 2);
}

static pid_t only_child(pid_t pid)
{
	char path[64];
	int child = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	test_must(file = fopen(path, "re"));
	test_must(fscanf(file, "%d", &child) == 1);
	fclose(file);
	return child;
}

int main(int argc, char **argv)
{
	pid_t pids[3];
	int status;

	test_init(argc, argv);
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(area != MAP_FAILED);
	test_must(!madvise(area, PAGES * PAGE, MADV_NOHUGEPAGE));
	for (int i = 0; i < PAGES; i++) {
		area[i * WORDS] = i + 1;
		area[(i + 1) * WORDS - 1] = i;
	}
	sparse = mmap(NULL, SPARSE_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(sparse != MAP_FAILED);
	test_must(!madvise(sparse, SPARSE_PAGES * PAGE, MADV_NOHUGEPAGE));
	for (int i = 0; i < SPARSE_PAGES; i++)
		if (i % 3 != 1)
			sparse[i * WORDS] = i + 1;
	check_sparse(0);
	start_members(pids);
	pids[2] = only_child(pids[1]);
	rewrite(0);
	check_sharing(pids);

	test_checkpoint_here();

	check_sparse(0);
	check_content(0);
	await("ready", 1);
	check_sharing(pids);
	reach("compared", 0);
	area[5 * WORDS + 1] = 100;
	reach("wrote", 0);
	await("wrote", 1);
	await("wrote", 2);
	test_check(area[5 * WORDS + 2] == 0 && area[5 * WORDS + 3] == 0,
		   "the root sees others' writes");
	test_must(waitpid(pids[1], &status, 0) == pids[1]);
	test_check(status == 0, "child: wait status %#x", status);
	test_pass();
}
