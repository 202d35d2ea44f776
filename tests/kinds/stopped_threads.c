/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stopped process of many threads that compute stays stopped in all of them, until SIGCONT. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "testing.h"

enum { THREADS = 12 };

/* Shared with the child: how far each of its threads has counted. */
static volatile long *counts;

static void *count(void *mine)
{
	for (;;)
		++*(volatile long *)mine;
	return NULL;
}

static void run_child(void)
{
	pthread_t thread;
	int i;

	for (i = 1; i < THREADS; i++)
		test_must(!pthread_create(&thread, NULL, count, (void *)&counts[i]));
	count((void *)&counts[0]);
}

static bool all_count(const long *from)
{
	int i;

	for (i = 0; i < THREADS; i++)
		if (counts[i] == from[i])
			return false;
	return true;
}

int main(int argc, char **argv)
{
	static const long nothing[THREADS];
	long then[THREADS];
	int status, i;
	pid_t child;

	test_init(argc, argv);
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(counts != MAP_FAILED);
	child = fork();
	test_must(child >= 0);
	if (!child)
		run_child();
	test_wait_until(all_count(nothing), "the child's threads do not run");
	test_must(!kill(child, SIGSTOP));
	test_must(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
	for (i = 0; i < THREADS; i++)
		then[i] = counts[i];

	test_checkpoint_here();

	test_sleep_ms(20);
	for (i = 0; i < THREADS; i++)
		test_check(counts[i] == then[i], "thread %d has run on: %ld, was %ld", i, counts[i],
			   then[i]);
	test_check(waitpid(child, &status, WUNTRACED | WNOHANG) == 0, "its stop is told again");
	test_must(!kill(child, SIGCONT));
	test_wait_until(all_count(then), "not all threads go on");
	test_must(!kill(child, SIGKILL) && waitpid(child, &status, 0) == child);
	test_pass();
}
