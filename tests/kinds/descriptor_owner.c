/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals for descriptors (O_ASYNC) go to whom and as what they went before. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

static void own(int fd, int type, pid_t pid, int signal)
{
	struct f_owner_ex owner = { .type = type, .pid = pid };

	test_must(!fcntl(fd, F_SETOWN_EX, &owner) && !fcntl(fd, F_SETSIG, signal));
	test_must(!fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
}

static void expect_owner(int fd, int type, pid_t pid, int signal)
{
	struct f_owner_ex owner;

	test_must(!fcntl(fd, F_GETOWN_EX, &owner));
	test_check((int)owner.type == type && owner.pid == pid, "owner %d %d, was %d %d", owner.type,
		   owner.pid, type, pid);
	test_check(fcntl(fd, F_GETSIG) == signal, "signal %d", fcntl(fd, F_GETSIG));
	test_check(fcntl(fd, F_GETFL) & O_ASYNC, "no O_ASYNC");
}

static volatile pid_t tid;

static void *thread(void *argument)
{
	tid = syscall(SYS_gettid);
	test_wait_for_go();
	test_sleep_ms(60000);
	return NULL;
}

/* The next signal must be this one, about this descriptor. */
static void expect_signal(int signal, int fd)
{
	struct timespec moment = { .tv_sec = 5 };
	siginfo_t info;
	sigset_t mask;
	int got;

	sigemptyset(&mask);
	sigaddset(&mask, SIGIO);
	sigaddset(&mask, SIGRTMIN + 2);
	got = sigtimedwait(&mask, &info, &moment);
	test_check(got == signal, "signal %d, wanted %d", got, signal);
	test_check(signal == SIGIO || info.si_fd == fd, "about %d, not %d", info.si_fd, fd);
}

int main(int argc, char **argv)
{
	int process[2], group[2], threads[2], quiet[2];
	pthread_t made;
	sigset_t mask;

	test_init(argc, argv);
	sigemptyset(&mask);
	sigaddset(&mask, SIGIO);
	sigaddset(&mask, SIGRTMIN + 2);
	test_must(!sigprocmask(SIG_BLOCK, &mask, NULL));
	test_must(!pthread_create(&made, NULL, thread, NULL));
	test_wait_until(tid, "no thread");
	test_must(!pipe(process) && !pipe(group) && !pipe(threads) && !pipe(quiet));
	own(process[0], F_OWNER_PID, getpid(), SIGRTMIN + 2);
	own(group[0], F_OWNER_PGRP, getpgrp(), 0);
	own(threads[0], F_OWNER_TID, tid, SIGRTMIN + 2);
	own(quiet[0], F_OWNER_PID, getpid(), SIGRTMIN + 2);
	test_must(!fcntl(quiet[0], F_SETFL, 0));
	test_must(write(quiet[1], "waiting", 7) == 7);

	test_checkpoint_here();

	expect_owner(process[0], F_OWNER_PID, getpid(), SIGRTMIN + 2);
	expect_owner(group[0], F_OWNER_PGRP, getpgrp(), 0);
	expect_owner(threads[0], F_OWNER_TID, tid, SIGRTMIN + 2);
	test_check(!(fcntl(quiet[0], F_GETFL) & O_ASYNC), "O_ASYNC has come");
	test_must(sigpending(&mask) == 0);
	test_check(!sigismember(&mask, SIGIO) && !sigismember(&mask, SIGRTMIN + 2),
		   "the restore has sent signals");
	test_must(write(process[1], "x", 1) == 1);
	expect_signal(SIGRTMIN + 2, process[0]);
	test_must(write(group[1], "x", 1) == 1);
	expect_signal(SIGIO, group[0]);
	test_pass();
}
