/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers keep their rest, interval, moment, flags and the expirations that nobody has read. */
/* test: unsteady */
#include <sys/timerfd.h>

#include "testing.h"

enum { FAR = 1000 };

static int make(int clock, int flags, int settime_flags, int64_t value_ms, int64_t interval_ms)
{
	struct itimerspec time = {
		.it_value = { value_ms / 1000, value_ms % 1000 * 1000000 },
		.it_interval = { interval_ms / 1000, interval_ms % 1000 * 1000000 },
	};
	struct timespec now;
	int fd = timerfd_create(clock, flags);

	test_must(fd >= 0);
	if (settime_flags & TFD_TIMER_ABSTIME) {
		clock_gettime(clock, &now);
		time.it_value.tv_sec += now.tv_sec;
		time.it_value.tv_nsec = now.tv_nsec;
	}
	test_must(!timerfd_settime(fd, settime_flags, &time, NULL));
	return fd;
}

static int64_t left_ms(int fd)
{
	struct itimerspec time;

	test_must(!timerfd_gettime(fd, &time));
	return time.it_value.tv_sec * 1000ll + time.it_value.tv_nsec / 1000000;
}

static int64_t interval_ms(int fd)
{
	struct itimerspec time;

	test_must(!timerfd_gettime(fd, &time));
	return time.it_interval.tv_sec * 1000ll + time.it_interval.tv_nsec / 1000000;
}

static int64_t until_ms(const struct timespec *target)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (target->tv_sec - now.tv_sec) * 1000ll + (target->tv_nsec - now.tv_nsec) / 1000000;
}

static void expect_left(int fd, int64_t least_ms, const char *name)
{
	int64_t left = left_ms(fd);

	test_check(left > least_ms && left <= FAR * 1000, "%s: %lld ms left", name,
		   (long long)left);
}

int main(int argc, char **argv)
{
	int idle, once, periodic, expired, many, moment, monotonic_moment, boot, soon;
	uint64_t ticks;
	struct timespec target;
	int64_t left, told;

	test_init(argc, argv);
	test_must((idle = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)) >= 0);
	once = make(CLOCK_MONOTONIC, TFD_CLOEXEC, 0, FAR * 1000, 0);
	periodic = make(CLOCK_REALTIME, TFD_NONBLOCK, 0, FAR * 1000, 5000);
	expired = make(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, 1, 0);
	many = make(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, 1, 1);
	moment = make(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, FAR * 1000,
		      0);
	clock_gettime(CLOCK_REALTIME, &target);
	target.tv_sec += FAR;
	monotonic_moment = make(CLOCK_MONOTONIC, 0, TFD_TIMER_ABSTIME, FAR * 1000, 7000);
	boot = make(CLOCK_BOOTTIME, TFD_NONBLOCK, 0, FAR * 1000, 0);
	soon = make(CLOCK_MONOTONIC, 0, 0, 200, 0);
	test_sleep_ms(20);

	test_checkpoint_here();

	test_check(left_ms(idle) == 0, "the idle timer runs");
	test_check(read(idle, &ticks, sizeof(ticks)) < 0 && errno == EAGAIN, "the idle timer fired");
	expect_left(once, FAR * 1000 - 60000, "once");
	test_check(fcntl(once, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	expect_left(periodic, FAR * 1000 - 60000, "periodic");
	test_check(interval_ms(periodic) == 5000, "interval %lld", (long long)interval_ms(periodic));
	test_check(read(expired, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks == 1,
		   "the expiry was lost");
	test_check(left_ms(expired) == 0, "the expired timer runs");
	test_check(read(many, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks >= 15,
		   "%llu expirations", (unsigned long long)ticks);
	test_check(interval_ms(many) == 1, "interval of the fast timer");
	left = until_ms(&target);
	told = left_ms(moment);
	test_check(told < left + 300 && told > until_ms(&target) - 300,
		   "%lld ms to the moment, the timer says %lld", (long long)left, (long long)told);
	expect_left(monotonic_moment, FAR * 1000 - 60000, "moment of the monotonic clock");
	test_check(interval_ms(monotonic_moment) == 7000, "interval");
	expect_left(boot, FAR * 1000 - 60000, "boot time");
	test_check(read(soon, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks == 1, "soon");
	test_pass();
}
