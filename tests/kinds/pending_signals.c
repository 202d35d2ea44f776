/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals sent to one thread wait for that thread and for no other. */
/* build: -pthread */
#include <pthread.h>
#include <signal.h>

#include "testing.h"

enum { THREADS = 3, QUEUED = 20 };

static struct worker {
	pthread_t thread;
	int number;
} workers[THREADS];
static int ready;

static int take(int signal)
{
	static const struct timespec now;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	test_check(sigtimedwait(&set, &info, &now) == signal, "signal %d does not wait", signal);
	return info.si_value.sival_int;
}

static void check(int number)
{
	sigset_t left;

	for (int i = 0; i < QUEUED; i++) {
		int value = take(SIGRTMIN + 1 + i % 2);

		test_check(value == 1000 * number + i, "thread %d: %d instead of %d", number, value,
			   1000 * number + i);
	}
	if (number)
		take(SIGUSR1);
	sigpending(&left);
	test_check(sigisemptyset(&left), "thread %d: more signals wait", number);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check(w->number);
	return NULL;
}

static void queue_all(pthread_t thread, int number)
{
	for (int i = 0; i < QUEUED; i++) {
		union sigval value = { .sival_int = 1000 * number + i };

		test_must(!pthread_sigqueue(thread, SIGRTMIN + 1 + i % 2, value));
	}
	if (number)
		test_must(!pthread_kill(thread, SIGUSR1));
}

int main(int argc, char **argv)
{
	sigset_t all;

	test_init(argc, argv);
	sigfillset(&all);
	test_must(!sigprocmask(SIG_BLOCK, &all, NULL));
	queue_all(pthread_self(), 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i].number = i + 1;
		test_must(!pthread_create(&workers[i].thread, NULL, run, &workers[i]));
		queue_all(workers[i].thread, i + 1);
	}

	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == THREADS, "threads");

	test_checkpoint_here();

	check(0);
	for (int i = 0; i < THREADS; i++)
		test_must(!pthread_join(workers[i].thread, NULL));
	test_pass();
}
