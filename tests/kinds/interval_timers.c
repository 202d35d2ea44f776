/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interval timers go on with the rest of their time, also one that has expired unseen. */
#include <signal.h>
#include <sys/time.h>

#include "testing.h"

enum { PERIOD_MS = 30, LONG_S = 1000 };

static int64_t rest_ms(int which)
{
	struct itimerval timer;

	test_must(!getitimer(which, &timer));
	test_check(timer.it_interval.tv_sec == 7 && timer.it_interval.tv_usec == 500000,
		   "timer %d has period %ld.%06ld", which, timer.it_interval.tv_sec,
		   timer.it_interval.tv_usec);
	return timer.it_value.tv_sec * 1000 + timer.it_value.tv_usec / 1000;
}

static void start(int which)
{
	struct itimerval timer = { { 7, 500000 }, { LONG_S, 0 } };

	test_must(!setitimer(which, &timer, NULL));
}

/* A timer that has expired is started anew by the kernel when its signal is taken. */
static void make_expired(void)
{
	struct itimerval timer = { { 0, PERIOD_MS * 1000 }, { 0, 1000 } };

	test_must(!setitimer(ITIMER_REAL, &timer, NULL));
	test_sleep_ms(3 * PERIOD_MS);
}

static void check_expired(void)
{
	static const struct timespec now, long_time = { .tv_sec = 5 };
	struct itimerval off = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	test_check(sigtimedwait(&set, NULL, &now) == SIGALRM, "the signal of a timer is lost");
	test_check(sigtimedwait(&set, NULL, &long_time) == SIGALRM, "the timer has stopped");
	test_check(sigtimedwait(&set, NULL, &long_time) == SIGALRM, "the timer has stopped");
	test_must(!setitimer(ITIMER_REAL, &off, NULL));
}

static int64_t child_rest;

static void make_child(void)
{
	start(ITIMER_REAL);
	child_rest = rest_ms(ITIMER_REAL);
}

static void check_child(void)
{
	int64_t rest = rest_ms(ITIMER_REAL);

	test_check(rest <= child_rest && rest > child_rest - 60000, "real: rest %ld ms, was %ld",
		   rest, child_rest);
	test_check(alarm(0) > 0, "there is no alarm");
}

int main(int argc, char **argv)
{
	int64_t rests[2], now;
	sigset_t blocked;
	pid_t child;

	test_init(argc, argv);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	test_must(!sigprocmask(SIG_BLOCK, &blocked, NULL));
	child = test_child("child", make_child, check_child);
	start(ITIMER_VIRTUAL);
	start(ITIMER_PROF);
	make_expired();
	rests[0] = rest_ms(ITIMER_VIRTUAL);
	rests[1] = rest_ms(ITIMER_PROF);

	test_checkpoint_here();

	check_expired();
	for (int i = 0; i < 2; i++) {
		now = rest_ms(i ? ITIMER_PROF : ITIMER_VIRTUAL);
		test_check(now <= rests[i] && now > rests[i] - 10000,
			   "timer %d of processor time: rest %ld ms, was %ld", i, now, rests[i]);
	}
	test_child_ends(child);
	test_pass();
}
