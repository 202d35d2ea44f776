/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that catches its own system calls, as emulators do, goes on to catch them. */
/* build: -pthread */
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "testing.h"

static volatile char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
static volatile int caught;
static bool ready;

static void on_call(int signal, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	caught = info->si_syscall;
}

static int call_caught(void)
{
	caught = -1;
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	getppid();
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	return caught;
}

static void *run(void *arg)
{
	test_must(!prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector));
	test_check(call_caught() == SYS_getppid, "call %d is caught", caught);
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	test_check(call_caught() == SYS_getppid, "call %d is caught after", caught);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };
	pthread_t thread;

	test_init(argc, argv);
	test_must(!sigaction(SIGSYS, &action, NULL));
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");

	test_checkpoint_here();

	test_must(!pthread_join(thread, NULL));
	test_check(call_caught() == -1, "the first thread catches calls");
	test_pass();
}
