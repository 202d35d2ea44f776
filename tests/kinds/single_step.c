/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that traces its own steps by the trap flag goes on to do so. */
#include <pthread.h>
#include <signal.h>

#include "testing.h"

enum { FLAG_TRAP = 0x100, STEPS_MIN = 20 };

static volatile long steps;
static volatile int stop;

static void trap(int signal)
{
	steps++;
}

static void *run(void *unused)
{
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | FLAG_TRAP);
	while (!stop)
		;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~FLAG_TRAP);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = trap, .sa_flags = SA_NODEFER };
	pthread_t thread;
	long before;

	test_init(argc, argv);
	/* Within the handler the signal would be blocked, and the thread look otherwise. */
	test_must(!sigaction(SIGTRAP, &action, NULL));
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(steps > STEPS_MIN, "no steps are traced");

	test_checkpoint_here();

	before = steps;
	test_wait_until(steps > before + STEPS_MIN, "no steps are traced any more");
	stop = 1;
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
