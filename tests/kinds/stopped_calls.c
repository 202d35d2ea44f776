/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that is stopped by job control in a call with a timeout goes on with it after SIGCONT.
 * */
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

enum { TIMEOUT_MS = 1500, BEFORE_MS = 100 };

static const struct timespec timeout = { TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000000l };

static long call_nanosleep(void)
{
	return syscall(SYS_nanosleep, &timeout, NULL);
}

static long call_poll(void)
{
	return syscall(SYS_poll, NULL, 0, TIMEOUT_MS);
}

static long call_futex(void)
{
	int word = 0;

	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &timeout, NULL, 0) == -1 &&
			       errno == ETIMEDOUT ?
		       0 :
		       -1;
}

static long call_pause(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigwaitinfo(&set, NULL) == SIGUSR1 ? 0 : -1;
}

static struct call {
	const char *name;
	long (*run)(void);
	int signal;	/* what it needs to end */
	pid_t pid;
} calls[] = {
	{ .name = "nanosleep", .run = call_nanosleep },
	{ .name = "poll", .run = call_poll },
	{ .name = "futex", .run = call_futex },
	{ .name = "sigwaitinfo", .run = call_pause, .signal = SIGUSR1 },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void run(const struct call *call)
{
	int64_t begin = test_now_ms(), took;
	long result;

	errno = 0;
	/* This one is interrupted by a stop on every kernel, signal(7). */
	do {
		result = call->run();
	} while (result && call->signal && errno == EINTR);
	test_check(!result, "%s ends badly", call->name);
	took = test_now_ms() - begin;
	test_check(call->signal || took >= TIMEOUT_MS, "%s ends after %ld ms", call->name, took);
	_exit(0);
}

int main(int argc, char **argv)
{
	sigset_t blocked;
	int status;

	test_init(argc, argv);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	for (int i = 0; i < CALLS; i++) {
		calls[i].pid = fork();
		test_must(calls[i].pid >= 0);
		if (!calls[i].pid)
			run(&calls[i]);
	}
	test_sleep_ms(BEFORE_MS);
	for (int i = 0; i < CALLS; i++) {
		test_must(!kill(calls[i].pid, SIGSTOP));
		test_must(waitpid(calls[i].pid, &status, WUNTRACED) == calls[i].pid);
		test_check(WIFSTOPPED(status), "%s: wait status %#x", calls[i].name, status);
	}

	test_checkpoint_here();

	for (int i = 0; i < CALLS; i++) {
		test_check(waitpid(calls[i].pid, &status, WNOHANG | WUNTRACED) == 0,
			   "%s: wait status %#x", calls[i].name, status);
		test_must(!kill(calls[i].pid, SIGCONT));
		if (calls[i].signal)
			test_must(!kill(calls[i].pid, calls[i].signal));
	}
	for (int i = 0; i < CALLS; i++) {
		test_must(waitpid(calls[i].pid, &status, 0) == calls[i].pid);
		test_check(status == 0, "%s: wait status %#x", calls[i].name, status);
	}
	test_pass();
}
