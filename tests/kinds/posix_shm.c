/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX shared memory, named and unlinked, mapped or only open, stays shared with its contents. */
/* O_NOFOLLOW, with which shm_open opens, cannot be had again for a file without a name. */
/* test: ignore=descriptor */
#include "testing.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { WORDS = 64 * 1024, SIZE = WORDS * sizeof(uint32_t) };

static char named_name[64], unlinked_name[64];

static uint32_t word(size_t i, uint32_t seed)
{
	return (i * 2654435761u) ^ seed;
}

static int make(const char *name)
{
	int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

	test_check(fd >= 0 && ftruncate(fd, SIZE) == 0, "shm_open of %s", name);
	return fd;
}

static uint32_t *map(int fd)
{
	uint32_t *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	test_must(at != MAP_FAILED);
	return at;
}

static void expect(const uint32_t *at, uint32_t seed, const char *what)
{
	for (size_t i = 0; i < WORDS; i++)
		test_check(at[i] == word(i, seed), "%s: word %zu is %#x, was %#x", what, i, at[i],
			   word(i, seed));
}

/* Answers in the shared memory to what is written there. */
static void answer(volatile uint32_t *at)
{
	while (at[0] != 1)
		test_sleep_ms(2);
	at[1] = 2;
	_exit(0);
}

int main(int argc, char **argv)
{
	int named_fd, unlinked_fd, only_open, status;
	uint32_t *named, *unlinked, *again;
	volatile uint32_t *talk;
	struct stat st;
	pid_t child;

	test_init(argc, argv);
	snprintf(named_name, sizeof(named_name), "/criu-lite-shm-%d", getpid());
	snprintf(unlinked_name, sizeof(unlinked_name), "/criu-lite-deleted-%d", getpid());
	named = map(named_fd = make(named_name));
	unlinked = map(unlinked_fd = make(unlinked_name));
	test_must(shm_unlink(unlinked_name) == 0);
	only_open = make(unlinked_name);
	test_must(shm_unlink(unlinked_name) == 0);
	for (size_t i = 0; i < WORDS; i++) {
		named[i] = word(i, 1);
		unlinked[i] = word(i, 2);
	}
	test_must(pwrite(only_open, "left", 4, SIZE - 4) == 4);
	close(unlinked_fd);
	talk = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, only_open, 0);
	test_must(talk != MAP_FAILED);
	test_must((child = fork()) >= 0);
	if (child == 0)
		answer(talk);

	test_checkpoint_here();

	expect(named, 1, "named");
	expect(unlinked, 2, "unlinked");
	again = map(shm_open(named_name, O_RDWR, 0));
	expect(again, 1, "reopened");
	again[7] = 4711;
	test_check(named[7] == 4711, "the named memory is not shared with its name");
	test_must(fstat(only_open, &st) == 0);
	test_check(st.st_size == SIZE && st.st_nlink == 0, "%ld bytes, %lu links", (long)st.st_size,
		   (unsigned long)st.st_nlink);
	test_must(pread(only_open, &status, 4, SIZE - 4) == 4 && !memcmp(&status, "left", 4));
	talk[0] = 1;
	test_wait_until(talk[1] == 2, "the child does not see what is written");
	test_must(waitpid(child, &status, 0) == child && status == 0);
	test_must(shm_unlink(named_name) == 0);
	close(named_fd);
	test_pass();
}
