/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupted system calls go on: none returns EINTR, timeouts keep the rest of their time. */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "testing.h"

enum { TIMEOUT_MS = 2500, BEFORE_MS = 1200, SLACK_MS = 1000 };

/* How well the rest of a timeout can be known. */
enum rest {
	REST_KNOWN,	/* the end is absolute, or the kernel writes the rest into its memory */
	REST_HIDDEN,	/* it is in the kernel only, where a BPF program can read it */
	REST_RESTARTS,	/* the call starts again with its whole timeout */
	REST_UNTIMED,	/* ends when the root wakes it */
};

static const struct timespec timeout = { TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000000l };
static int futex_word;
static bool can_read_hidden;
static pid_t child;

static struct timespec deadline(clockid_t clock)
{
	struct timespec end;

	clock_gettime(clock, &end);
	end.tv_sec += timeout.tv_sec;
	end.tv_nsec += timeout.tv_nsec;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	return end;
}

static long call_nanosleep(void)
{
	struct timespec rest = { 0 };

	return syscall(SYS_nanosleep, &timeout, &rest);
}

static long call_nanosleep_blind(void)
{
	return syscall(SYS_nanosleep, &timeout, NULL);
}

static long call_clock_nanosleep(void)
{
	struct timespec rest = { 0 };

	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &timeout, &rest);
}

static long call_clock_nanosleep_until(void)
{
	struct timespec end = deadline(CLOCK_MONOTONIC);

	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

static long call_clock_nanosleep_until_realtime(void)
{
	struct timespec end = deadline(CLOCK_REALTIME);

	return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &end, NULL);
}

static long call_poll(void)
{
	return syscall(SYS_poll, NULL, 0, TIMEOUT_MS);
}

static long call_ppoll(void)
{
	struct timespec rest = timeout;

	return syscall(SYS_ppoll, NULL, 0, &rest, NULL, 0);
}

static long call_select(void)
{
	struct timeval rest = { timeout.tv_sec, timeout.tv_nsec / 1000 };

	return syscall(SYS_select, 0, NULL, NULL, NULL, &rest);
}

static long call_pselect(void)
{
	struct timespec rest = timeout;

	return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &rest, NULL);
}

static long call_futex(void)
{
	int word = 0;

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &timeout, NULL, 0);
}

static long call_futex_until(void)
{
	struct timespec end = deadline(CLOCK_MONOTONIC);
	int word = 0;

	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &end, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

static long call_futex_untimed(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long call_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &timeout);
}

static long call_sigwaitinfo(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigwaitinfo(&set, NULL);
}

static long call_pause(void)
{
	return syscall(SYS_pause);
}

static long call_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigsuspend(&none);
}

static long call_poll_untimed(void)
{
	return syscall(SYS_poll, NULL, 0, -1);
}

static long call_waitid(void)
{
	siginfo_t info;

	return waitid(P_PID, child, &info, WEXITED) ? -1 : info.si_status;
}

/* What each returns in the end; signal: what the root sends to end it. */
static struct call {
	const char *name;
	long (*run)(void);
	enum rest rest;
	long result;
	int error;
	int signal;
} calls[] = {
	{ "nanosleep", call_nanosleep, REST_KNOWN, 0, 0, 0 },
	{ "nanosleep without rmtp", call_nanosleep_blind, REST_HIDDEN, 0, 0, 0 },
	{ "clock_nanosleep", call_clock_nanosleep, REST_KNOWN, 0, 0, 0 },
	{ "clock_nanosleep until", call_clock_nanosleep_until, REST_KNOWN, 0, 0, 0 },
	{ "clock_nanosleep until, realtime", call_clock_nanosleep_until_realtime, REST_KNOWN, 0, 0,
	  0 },
	{ "poll", call_poll, REST_HIDDEN, 0, 0, 0 },
	{ "ppoll", call_ppoll, REST_KNOWN, 0, 0, 0 },
	{ "select", call_select, REST_KNOWN, 0, 0, 0 },
	{ "pselect", call_pselect, REST_KNOWN, 0, 0, 0 },
	{ "futex", call_futex, REST_HIDDEN, -1, ETIMEDOUT, 0 },
	{ "futex until", call_futex_until, REST_KNOWN, -1, ETIMEDOUT, 0 },
	{ "sigtimedwait", call_sigtimedwait, REST_RESTARTS, -1, EAGAIN, 0 },
	{ "futex untimed", call_futex_untimed, REST_UNTIMED, 0, 0, 0 },
	{ "sigwaitinfo", call_sigwaitinfo, REST_UNTIMED, SIGUSR1, 0, SIGUSR1 },
	{ "pause", call_pause, REST_UNTIMED, -1, EINTR, SIGALRM },
	{ "sigsuspend", call_sigsuspend, REST_UNTIMED, -1, EINTR, SIGALRM },
	{ "poll untimed", call_poll_untimed, REST_UNTIMED, -1, EINTR, SIGALRM },
	{ "waitid", call_waitid, REST_UNTIMED, 33, 0, 0 },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static struct run {
	pthread_t thread;
	pid_t tid;
	long result;
	int error;
	int64_t elapsed_ms;
	bool done;
} runs[CALLS];

static void *run_call(void *argument)
{
	struct run *run = argument;
	int64_t begin = test_now_ms();

	__atomic_store_n(&run->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	errno = 0;
	run->result = calls[run - runs].run();
	run->error = run->result == -1 ? errno : 0;
	run->elapsed_ms = test_now_ms() - begin;
	__atomic_store_n(&run->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void handler(int signal)
{
}

static void check(const struct call *call, const struct run *run)
{
	int64_t latest = TIMEOUT_MS + test_pause_ms + SLACK_MS;

	test_check(run->result == call->result && run->error == call->error,
		   "%s returns %ld, %s; wanted %ld, %s", call->name, run->result,
		   strerror(run->error), call->result, strerror(call->error));
	if (call->rest == REST_UNTIMED)
		return;
	if (call->rest == REST_RESTARTS || (call->rest == REST_HIDDEN && !can_read_hidden))
		latest += TIMEOUT_MS;
	test_check(run->elapsed_ms >= TIMEOUT_MS - 2, "%s ends early, after %ld ms", call->name,
		   run->elapsed_ms);
	test_check(run->elapsed_ms <= latest, "%s ends late, after %ld ms, with pauses of %ld ms",
		   call->name, run->elapsed_ms, test_pause_ms);
}

/* Whether the thread sleeps in a system call. */
static bool is_in_call(pid_t tid)
{
	char path[64], text[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	test_must((file = fopen(path, "re")) && fgets(text, sizeof(text), file));
	fclose(file);
	return *text >= '0' && *text <= '9';
}

static void start_child(void)
{
	child = fork();
	test_must(child >= 0);
	if (!child) {
		test_await("enough");
		_exit(33);
	}
}

int main(int argc, char **argv)
{
	struct sigaction caught = { .sa_handler = handler };
	sigset_t blocked;

	test_init(argc, argv);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigaction(SIGALRM, &caught, NULL);
	can_read_hidden = !access("/sys/kernel/btf/vmlinux", F_OK);
	start_child();
	for (int i = 0; i < CALLS; i++)
		test_must(!pthread_create(&runs[i].thread, NULL, run_call, &runs[i]));
	test_sleep_ms(BEFORE_MS);
	for (int i = 0; i < CALLS; i++)
		test_check(runs[i].tid && !runs[i].done, "%s ends before the checkpoint",
			   calls[i].name);

	test_checkpoint_here();

	for (int i = 0; i < CALLS; i++)
		test_check(calls[i].rest != REST_UNTIMED || !runs[i].done,
			   "%s ends by itself: %ld, %s", calls[i].name, runs[i].result,
			   strerror(runs[i].error));
	test_reach("enough");
	futex_word = 1;
	syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
	for (int i = 0; i < CALLS; i++) {
		if (!calls[i].signal)
			continue;
		/* A signal that comes before the call does not end it. */
		test_wait_until(is_in_call(runs[i].tid), "%s is not called again", calls[i].name);
		pthread_kill(runs[i].thread, calls[i].signal);
	}
	for (int i = 0; i < CALLS; i++) {
		pthread_join(runs[i].thread, NULL);
		check(&calls[i], &runs[i]);
	}
	test_pass();
}
