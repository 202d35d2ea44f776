/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each thread keeps its own alternate signal stack, and handlers run on it. */
/* build: -pthread */
#include <pthread.h>
#include <signal.h>

#include "testing.h"

enum { THREADS = 3, SIZE = 128 << 10 };

static char stacks[THREADS][SIZE];
static int ready;
static __thread char *mine;
static __thread volatile bool ran_on_it;

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static void handler(int signal)
{
	char here;

	ran_on_it = mine && &here >= mine && &here < mine + SIZE;
}

static void check(int number, int flags)
{
	stack_t is;

	test_must(!sigaltstack(NULL, &is));
	test_check(is.ss_sp == stacks[number] && is.ss_size == SIZE && is.ss_flags == flags,
		   "thread %d: stack %p of %zu, flags %#x", number, is.ss_sp, is.ss_size,
		   is.ss_flags);
	test_must(!raise(SIGUSR1));
	test_check(ran_on_it, "thread %d: the handler ran elsewhere", number);
}

static void *run(void *arg)
{
	int number = (intptr_t)arg, flags = number == 1 ? (int)SS_AUTODISARM : 0;
	stack_t stack = { .ss_sp = stacks[number], .ss_size = SIZE, .ss_flags = flags };

	mine = stacks[number];
	test_must(!sigaltstack(&stack, NULL));
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check(number, flags);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	pthread_t threads[THREADS];
	stack_t own;

	test_init(argc, argv);
	test_must(!sigaction(SIGUSR1, &action, NULL));
	for (intptr_t i = 0; i < THREADS; i++)
		test_must(!pthread_create(&threads[i], NULL, run, (void *)i));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == THREADS, "threads");

	test_checkpoint_here();

	test_must(!sigaltstack(NULL, &own));
	test_check(own.ss_flags == SS_DISABLE, "the first thread got a stack, flags %#x",
		   own.ss_flags);
	for (int i = 0; i < THREADS; i++)
		test_must(!pthread_join(threads[i], NULL));
	test_pass();
}
