/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stopped process whose first thread has ended stays stopped until SIGCONT. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "testing.h"

enum { EXIT_CODE = 5 };

/* Shared with the child. */
static struct shared {
	volatile long count;
	volatile bool end;
} *shared;

static void *count(void *unused)
{
	while (!shared->end)
		shared->count++;
	_exit(EXIT_CODE);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;
	pid_t child;
	long then;

	test_init(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	test_must(shared != MAP_FAILED);
	child = fork();
	test_must(child >= 0);
	if (!child) {
		test_must(!pthread_create(&thread, NULL, count, NULL));
		test_must(!pthread_create(&thread, NULL, count, NULL));
		pthread_exit(NULL);
	}
	test_wait_until(shared->count, "the child's threads do not run");
	test_sleep_ms(20);
	test_must(!kill(child, SIGSTOP));
	test_must(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
	then = shared->count;

	test_checkpoint_here();

	test_sleep_ms(20);
	test_check(shared->count == then, "it has run on");
	shared->end = true;
	test_must(!kill(child, SIGCONT));
	test_check(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		   WEXITSTATUS(status) == EXIT_CODE, "wait status %#x", status);
	test_pass();
}
