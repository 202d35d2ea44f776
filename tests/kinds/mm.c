/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heap end, program link, arguments, environment, auxv and memory policies stay as they were. */
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, HEAP_STEP = 3 * PAGE + 100 };

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static size_t read_all(const char *path, char *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got, done = 0;

	test_must(fd >= 0);
	while ((got = read(fd, data + done, size - done)) > 0)
		done += got;
	test_must(got == 0);
	close(fd);
	return done;
}

/* What /proc shows of the address space's fields. */
struct shown {
	char cmdline[2048], environment[16384], auxv[2048], exe[1024];
	size_t cmdline_size, environment_size, auxv_size;
	int thp, merge;
};

static void look(struct shown *s)
{
	ssize_t length;

	memset(s, 0, sizeof(*s));
	s->cmdline_size = read_all("/proc/self/cmdline", s->cmdline, sizeof(s->cmdline));
	s->environment_size =
		read_all("/proc/self/environ", s->environment, sizeof(s->environment));
	s->auxv_size = read_all("/proc/self/auxv", s->auxv, sizeof(s->auxv));
	length = readlink("/proc/self/exe", s->exe, sizeof(s->exe) - 1);
	test_must(length > 0);
	s->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	s->merge = prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
}

static void compare(const struct shown *now, const struct shown *then)
{
	test_check(now->cmdline_size == then->cmdline_size &&
			   !memcmp(now->cmdline, then->cmdline, now->cmdline_size),
		   "cmdline is '%s'", now->cmdline);
	test_check(now->environment_size == then->environment_size &&
			   !memcmp(now->environment, then->environment, now->environment_size),
		   "environ is '%s'", now->environment);
	test_check(now->auxv_size == then->auxv_size &&
			   !memcmp(now->auxv, then->auxv, now->auxv_size),
		   "auxv has changed");
	test_check(!strcmp(now->exe, then->exe), "exe is %s", now->exe);
	test_check(now->thp == then->thp, "THP is %d, was %d", now->thp, then->thp);
	test_check(now->merge == then->merge, "merging is %d, was %d", now->merge, then->merge);
}

/* What is mapped from now on is locked; the child does not inherit that. */
static void lock_future(void)
{
	test_must(!mlockall(MCL_FUTURE));
}

static bool new_memory_is_locked(void)
{
	unsigned char there = 0;
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	test_must(at != MAP_FAILED && !mincore(at, PAGE, &there) && !munmap(at, PAGE));
	return there & 1;
}

static bool gains_execution(void)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	test_must(at != MAP_FAILED);
	return !mprotect(at, PAGE, PROT_READ | PROT_EXEC);
}

/* A child with a policy that the parent does not have, and a heap of its own. */
static void strict_child(void)
{
	int policy = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	char *end = sbrk(0);

	test_must(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0);
	test_must(sbrk(5 * HEAP_STEP) == end);
	end[4 * HEAP_STEP] = 42;
	test_reach("child");
	test_wait_for_go();
	test_check(sbrk(0) == end + 5 * HEAP_STEP, "the child's heap ends elsewhere");
	test_check(end[4 * HEAP_STEP] == 42, "the child's heap holds %d", end[4 * HEAP_STEP]);
	test_check(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0, "the child got its parent's policy");
	test_check(policy || prctl(PR_GET_MDWE, 0, 0, 0, 0) == PR_MDWE_REFUSE_EXEC_GAIN,
		   "the child's MDWE is lost");
	test_check(!new_memory_is_locked(), "the child's new memory is locked");
	test_check(policy || !gains_execution(), "the child's memory gains execution");
	_exit(0);
}

int main(int argc, char **argv)
{
	static struct shown before, after;
	char *heap = sbrk(0), *end;
	int status;
	pid_t child;

	test_init(argc, argv);
	test_must(sbrk(HEAP_STEP) == heap);
	memset(heap, 9, HEAP_STEP);
	end = sbrk(0);
	test_must(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	/* The name that ps shows, as a server does it. */
	lock_future();
	strncpy(argv[0], "renamed", strlen(argv[0]));
	look(&before);
	child = fork();
	test_must(child >= 0);
	if (!child)
		strict_child();
	test_await("child");

	test_checkpoint_here();

	look(&after);
	compare(&after, &before);
	test_check(sbrk(0) == end, "the heap ends elsewhere");
	for (int i = 0; i < HEAP_STEP; i++)
		test_check(heap[i] == 9, "byte %d of the heap", i);
	test_must(sbrk(HEAP_STEP) == end);
	end[HEAP_STEP - 1] = 1;
	test_must(sbrk(-2 * HEAP_STEP) == end + HEAP_STEP);
	test_check(getauxval(AT_PAGESZ) == PAGE, "auxv in memory");
	test_check(new_memory_is_locked(), "new memory is not locked");
	test_check(gains_execution(), "the parent got its child's policy");
	test_must(waitpid(child, &status, 0) == child);
	test_check(status == 0, "child: wait status %#x", status);
	test_pass();
}
