/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process is saved though no more signals may be queued for it, or nearly all kinds of them
 * are. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "testing.h"

enum { QUEUED = 3 };

static const int harmless[] = { SIGURG, SIGWINCH, SIGCHLD, SIGCONT };
static volatile sig_atomic_t handled;

static void handler(int signal)
{
	handled++;
}

static void limit_to(rlim_t count)
{
	struct rlimit limit;

	test_must(!getrlimit(RLIMIT_SIGPENDING, &limit));
	limit.rlim_cur = count;
	test_must(!setrlimit(RLIMIT_SIGPENDING, &limit));
}

/* None may be queued, and all signals that mean nothing have a handler. */
static void without_room(void)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		signal(harmless[i], handler);
	limit_to(0);
	test_reach("without_room");
	test_wait_for_go();
	test_check(handled == 0, "%d signals came by themselves", handled);
	raise(SIGURG);
	test_check(handled == 1, "the handler of SIGURG is not called");
	_exit(0);
}

/* The queue is full, and all that it holds waits. */
static void with_a_full_queue(void)
{
	static const struct timespec now;
	sigset_t all, before, after;
	siginfo_t info;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int s = 1; s < SIGRTMAX; s++)
		if (s != SIGKILL && s != SIGSTOP && s != SIGTSTP && s != SIGTTIN && s != SIGTTOU &&
		    (s < 32 || s > 34))
			test_must(!kill(getpid(), s));
	for (int i = 0; i < QUEUED; i++)
		test_must(!sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }));
	limit_to(QUEUED);
	sigpending(&before);
	test_reach("with_a_full_queue");
	test_wait_for_go();
	sigpending(&after);
	for (int s = 1; s <= SIGRTMAX; s++)
		test_check(sigismember(&before, s) == sigismember(&after, s), "signal %d %s", s,
			   sigismember(&after, s) ? "is pending" : "is lost");
	sigemptyset(&all);
	sigaddset(&all, SIGRTMIN);
	for (int i = 0; i < QUEUED; i++) {
		test_check(sigtimedwait(&all, &info, &now) == SIGRTMIN, "signal %d is lost", i);
		test_check(info.si_value.sival_int == i, "value %d instead of %d",
			   info.si_value.sival_int, i);
	}
	_exit(0);
}

static pid_t start(void (*run)(void), const char *name)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (!pid)
		run();
	test_await(name);
	return pid;
}

static void end(pid_t pid)
{
	int status;

	test_must(waitpid(pid, &status, 0) == pid);
	test_check(status == 0, "process %d: wait status %#x", (int)pid, status);
}

int main(int argc, char **argv)
{
	pid_t one, other;

	test_init(argc, argv);
	one = start(without_room, "without_room");
	other = start(with_a_full_queue, "with_a_full_queue");

	test_checkpoint_here();

	end(one);
	end(other);
	test_pass();
}
