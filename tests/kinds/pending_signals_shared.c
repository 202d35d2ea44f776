/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocked signals of a process wait on, all of them, in their order, each with what it carries. */
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

enum { MANY = 700 };	/* more than one batch queues */

static pid_t child;

static siginfo_t take(int signal)
{
	static const struct timespec now;
	siginfo_t info = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	test_check(sigtimedwait(&set, &info, &now) == signal, "signal %d does not wait", signal);
	return info;
}

static void queue(int signal, int value)
{
	union sigval v = { .sival_int = value };

	test_must(!sigqueue(getpid(), signal, v));
}

static void make_signals(void)
{
	siginfo_t info, forged = { .si_code = SI_ASYNCNL, .si_pid = 4711, .si_uid = 815 };

	for (int i = 0; i < MANY; i++)
		queue(SIGRTMIN + i % 2, i);
	/* Two of a standard signal are one, and the first one's. */
	queue(SIGUSR1, 17);
	queue(SIGUSR1, 18);
	test_must(!kill(getpid(), SIGUSR2));
	/* Ignored and blocked: it waits, since the action may change. */
	signal(SIGHUP, SIG_IGN);
	test_must(!kill(getpid(), SIGHUP));
	test_must(!syscall(SYS_rt_sigqueueinfo, getpid(), SIGWINCH, &forged));
	child = fork();
	test_must(child >= 0);
	if (!child)
		_exit(5);
	test_must(!waitid(P_PID, child, &info, WEXITED | WNOWAIT));
	test_must(!kill(getpid(), SIGTSTP));
}

static void check_signals(void)
{
	sigset_t none;
	siginfo_t info;

	for (int i = 0; i < MANY; i++) {
		info = take(SIGRTMIN + i % 2);
		test_check(info.si_value.sival_int == i && info.si_code == SI_QUEUE &&
				   info.si_pid == getpid(),
			   "queued %d is %d with code %d from %d", i, info.si_value.sival_int,
			   info.si_code, info.si_pid);
	}
	info = take(SIGUSR1);
	test_check(info.si_value.sival_int == 17, "SIGUSR1 carries %d", info.si_value.sival_int);
	info = take(SIGUSR2);
	test_check(info.si_code == SI_USER && info.si_pid == getpid(), "SIGUSR2: code %d from %d",
		   info.si_code, info.si_pid);
	take(SIGHUP);
	info = take(SIGWINCH);
	test_check(info.si_code == SI_ASYNCNL && info.si_pid == 4711 && info.si_uid == 815,
		   "SIGWINCH: code %d from %d", info.si_code, info.si_pid);
	info = take(SIGCHLD);
	test_check(info.si_code == CLD_EXITED && info.si_pid == child && info.si_status == 5,
		   "SIGCHLD: code %d, pid %d, status %d", info.si_code, info.si_pid,
		   info.si_status);
	test_must(waitpid(child, NULL, 0) == child);
	take(SIGTSTP);
	sigpending(&none);
	test_check(sigisemptyset(&none), "more signals wait than before");
}

int main(int argc, char **argv)
{
	sigset_t all;

	test_init(argc, argv);
	sigfillset(&all);
	test_must(!sigprocmask(SIG_BLOCK, &all, NULL));
	make_signals();

	test_checkpoint_here();

	check_signals();
	test_pass();
}
