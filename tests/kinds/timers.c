/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interval timers and POSIX timers keep their rest, period, signal and id, and still fire. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "testing.h"

enum { LONG_S = 5000, PERIOD_S = 17, SHORT_MS = 1500, SLACK_MS = 1000 };

static volatile sig_atomic_t alarms, rings;
static pid_t rung_thread;
static void *rung_value;
static int64_t rung_ms;

static void on_alarm(int signal)
{
	alarms++;
}

static void on_ring(int signal, siginfo_t *info, void *context)
{
	rung_thread = syscall(SYS_gettid);
	rung_value = info->si_value.sival_ptr;
	rung_ms = test_now_ms();
	rings++;
}

/* The kernel's timers; the C library hides their ids. */
static int timer_make(clockid_t clock, int notify, int signal, int value, pid_t tid)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = signal };
	int id = -1;

	event.sigev_value.sival_ptr = (void *)(0xabc00000000 + value);
	event._sigev_un._tid = tid;
	test_check(!syscall(SYS_timer_create, clock, &event, &id), "timer_create on clock %d",
		   clock);
	return id;
}

static void timer_start(int id, int64_t ms, int period_s)
{
	struct itimerspec spec = { .it_value = { ms / 1000, ms % 1000 * 1000000 },
				   .it_interval = { period_s, 0 } };

	test_must(!syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static int64_t timer_rest(int id, int period_s)
{
	struct itimerspec spec;

	test_check(!syscall(SYS_timer_gettime, id, &spec), "timer %d is lost", id);
	test_check(spec.it_interval.tv_sec == period_s && !spec.it_interval.tv_nsec,
		   "timer %d has period %ld.%09ld", id, spec.it_interval.tv_sec,
		   spec.it_interval.tv_nsec);
	return spec.it_value.tv_sec * 1000 + spec.it_value.tv_nsec / 1000000;
}

/* It cannot have lost more than the time that has passed, nor won anything. */
static void check_rest(const char *what, int64_t before, int64_t now, int64_t passed)
{
	test_check(now <= before + 1 && now >= before - passed - SLACK_MS,
		   "%s: rest %ld ms, was %ld ms %ld ms ago", what, now, before, passed);
}

static const int itimers[3] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };

static int64_t itimer_rest(int which)
{
	struct itimerval value;

	test_must(!getitimer(itimers[which], &value));
	test_check(value.it_interval.tv_sec == PERIOD_S && value.it_interval.tv_usec == 250000,
		   "interval timer %d has period %ld.%06ld", which, value.it_interval.tv_sec,
		   value.it_interval.tv_usec);
	return value.it_value.tv_sec * 1000 + value.it_value.tv_usec / 1000;
}

/* All kinds of clock, and what the timer on it does. */
static const struct row {
	const char *name;
	clockid_t clock;
	int notify, period_s;
} rows[] = {
	{ "realtime", CLOCK_REALTIME, SIGEV_SIGNAL, 0 },
	{ "monotonic", CLOCK_MONOTONIC, SIGEV_SIGNAL, PERIOD_S },
	{ "boottime", CLOCK_BOOTTIME, SIGEV_NONE, PERIOD_S },
	{ "process", CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 0 },
	{ "tai", CLOCK_TAI, SIGEV_THREAD_ID, PERIOD_S },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct {
	int ids[ROWS], idle, ringing, pending;
	int64_t rests[ROWS], itimer_rests[3], since;
	pid_t worker;
	bool stop;
} state;

static void *worker_main(void *unused)
{
	__atomic_store_n(&state.worker, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&state.stop, __ATOMIC_SEQ_CST))
		test_sleep_ms(5);
	return NULL;
}

static void make_timers(void)
{
	struct itimerval long_time = { { PERIOD_S, 250000 }, { LONG_S, 0 } };
	int unused[2] = { -1, -1 };

	for (int i = 0; i < 3; i++)
		test_must(!setitimer(itimers[i], &long_time, NULL));
	/* Gaps among the ids. */
	unused[0] = timer_make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	for (int i = 0; i < ROWS; i++) {
		state.ids[i] = timer_make(rows[i].clock, rows[i].notify, SIGUSR2, i, state.worker);
		timer_start(state.ids[i], LONG_S * 1000ll, rows[i].period_s);
		if (i == 2)
			unused[1] = timer_make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	}
	state.idle = timer_make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 9, 0);
	state.ringing =
		timer_make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 3, 55, state.worker);
	timer_start(state.ringing, SHORT_MS, 0);
	/* This one has expired, and its signal waits. */
	state.pending = timer_make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 5, 66, 0);
	timer_start(state.pending, 1, 0);
	test_must(!syscall(SYS_timer_delete, unused[0]) && !syscall(SYS_timer_delete, unused[1]));
	test_sleep_ms(20);
	for (int i = 0; i < ROWS; i++)
		state.rests[i] = timer_rest(state.ids[i], rows[i].period_s);
	for (int i = 0; i < 3; i++)
		state.itimer_rests[i] = itimer_rest(i);
	state.since = test_now_ms();
}

static void check_pending(void)
{
	static const struct timespec now;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	test_check(sigtimedwait(&set, &info, &now) == SIGRTMIN + 5,
		   "the signal of a timer is lost");
	test_check(info.si_code == SI_TIMER && info.si_timerid == state.pending &&
		   info.si_value.sival_ptr == (void *)(0xabc00000000 + 66),
		   "signal of a timer: code %d, id %d, value %p", info.si_code, info.si_timerid,
		   info.si_value.sival_ptr);
	test_check(sigtimedwait(&set, &info, &now) == -1, "the signal of a timer comes twice");
}

static void check_timers(void)
{
	int64_t passed = test_now_ms() - state.since;
	struct itimerval short_time = { { 0, 0 }, { 0, 20000 } };

	for (int i = 0; i < ROWS; i++)
		check_rest(rows[i].name, state.rests[i], timer_rest(state.ids[i], rows[i].period_s),
			   passed);
	for (int i = 0; i < 3; i++)
		check_rest("interval timer", state.itimer_rests[i], itimer_rest(i), passed);
	test_check(timer_rest(state.idle, 0) == 0, "an idle timer runs");
	check_pending();
	test_wait_until(rings, "a timer does not ring");
	passed = rung_ms - state.since;
	test_check(passed >= SHORT_MS - 30 && passed <= SHORT_MS + test_pause_ms + SLACK_MS,
		   "a timer of %d ms rings after %ld ms, with pauses of %ld ms", SHORT_MS, passed,
		   test_pause_ms);
	test_check(rings == 1 && rung_thread == state.worker &&
			   rung_value == (void *)(0xabc00000000 + 55),
		   "rings %d, in thread %d, value %p", rings, rung_thread, rung_value);
	test_check(!alarms, "%d alarms before their time", alarms);
	test_must(!setitimer(ITIMER_REAL, &short_time, NULL));
	test_wait_until(alarms == 1, "no alarm");
	timer_start(state.ids[4], 20, 0);
	test_wait_until(alarms == 2, "no signal from the timer on TAI");
}

int main(int argc, char **argv)
{
	struct sigaction alarm_action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct sigaction ring_action = { .sa_sigaction = on_ring,
					 .sa_flags = SA_SIGINFO | SA_RESTART };
	pthread_t worker;
	sigset_t blocked;
	int fresh;

	test_init(argc, argv);
	test_must(!sigaction(SIGALRM, &alarm_action, NULL) &&
		  !sigaction(SIGUSR2, &alarm_action, NULL));
	test_must(!sigaction(SIGRTMIN + 3, &ring_action, NULL));
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN + 5);
	test_must(!sigprocmask(SIG_BLOCK, &blocked, NULL));
	test_must(!pthread_create(&worker, NULL, worker_main, NULL));
	test_wait_until(__atomic_load_n(&state.worker, __ATOMIC_SEQ_CST), "no worker");
	make_timers();

	test_checkpoint_here();

	check_timers();
	fresh = timer_make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	for (int i = 0; i < ROWS; i++)
		test_check(fresh != state.ids[i], "a new timer gets id %d, which is taken", fresh);
	__atomic_store_n(&state.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(worker, NULL);
	test_pass();
}
