/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX semaphores, named, unlinked and nameless, keep their values and who waits for them. */
/* sem_open makes the file under a name that it unlinks again: the map shows that one at first. */
/* test: ignore=mapping */
#include "testing.h"

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char named_name[64], unlinked_name[64];

static void expect_value(sem_t *sem, int value, const char *what)
{
	int got = -1;

	test_must(sem_getvalue(sem, &got) == 0);
	test_check(got == value, "the %s semaphore is %d, was %d", what, got, value);
}

/* Waits for one semaphore and posts another. */
static pid_t start_waiter(sem_t *wait, sem_t *post)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (pid)
		return pid;
	while (sem_wait(wait))
		test_check(errno == EINTR, "sem_wait");
	test_must(sem_post(post) == 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	sem_t *named, *unlinked, *nameless, *again;
	pid_t waiters[2];
	int status;

	test_init(argc, argv);
	snprintf(named_name, sizeof(named_name), "/criu-lite-sem-%d", getpid());
	snprintf(unlinked_name, sizeof(unlinked_name), "/criu-lite-unlinked-%d", getpid());
	named = sem_open(named_name, O_CREAT | O_EXCL, 0600, 5);
	unlinked = sem_open(unlinked_name, O_CREAT | O_EXCL, 0600, 0);
	test_must(named != SEM_FAILED && unlinked != SEM_FAILED);
	test_must(sem_unlink(unlinked_name) == 0);
	nameless = mmap(NULL, 2 * sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	test_must(nameless != MAP_FAILED);
	test_must(sem_init(&nameless[0], 1, 0) == 0 && sem_init(&nameless[1], 1, 0) == 0);
	test_must(sem_wait(named) == 0);
	waiters[0] = start_waiter(unlinked, &nameless[1]);
	waiters[1] = start_waiter(&nameless[0], named);
	test_sleep_ms(20);

	test_checkpoint_here();

	expect_value(named, 4, "named");
	expect_value(unlinked, 0, "unlinked");
	expect_value(&nameless[0], 0, "nameless");
	test_must((again = sem_open(named_name, 0)) != SEM_FAILED);
	expect_value(again, 4, "reopened");
	test_must(sem_post(again) == 0);
	expect_value(named, 5, "named");
	test_must(sem_post(unlinked) == 0 && sem_wait(&nameless[1]) == 0);
	test_must(sem_post(&nameless[0]) == 0);
	for (int i = 0; i < 2; i++)
		test_must(waitpid(waiters[i], &status, 0) == waiters[i] && status == 0);
	expect_value(named, 6, "named");
	test_check(sem_open(unlinked_name, 0) == SEM_FAILED && errno == ENOENT,
		   "the unlinked semaphore has a name");
	test_must(sem_unlink(named_name) == 0);
	test_pass();
}
