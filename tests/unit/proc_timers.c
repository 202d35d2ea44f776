/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/timers: all ways to notify, broken records, and timers of our own. */
#include "proc_testing.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "proc/timers.h"

static void all_ways(void **state)
{
	static const char text[] =
		"ID: 0\nsignal: 14/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
		"ID: 7\nsignal: 64/ffffffffffffffff\nnotify: signal/tid.12\nnew: 5\nClockID: -6\n"
		"ID: 2147483647\nsignal: 0/0000000000000000\nnotify: none/pid.1\nClockID: 1\n"
		"ID: 8\nsignal: 10/0\nnotify: thread/pid.0\nClockID: 1\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_timers_ struct proc_timers timers = { 0 };
	struct proc_timer *t;

	assert_accepted(proc_parse_timers, text, &timers, &err);
	assert_int_equal(timers.items.count, 4);
	t = timers.items.items;
	assert_true(t[0].id == 0 && t[0].signal == 14 && t[0].value == 0x7fff86e452a8);
	assert_true(t[0].notify == SIGEV_SIGNAL && t[0].target == 2634 && t[0].clock_id == 0);
	assert_true(t[1].signal == 64 && t[1].value == UINT64_MAX && t[1].target == 12);
	assert_true(t[1].notify == (SIGEV_SIGNAL | SIGEV_THREAD_ID) && t[1].clock_id == -6);
	assert_true(t[2].id == INT32_MAX && t[2].notify == SIGEV_NONE);
	assert_true(t[3].notify == SIGEV_THREAD);
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"signal: 14/0\n", "ID: x\n", "ID: 1\n", "ID: 1\nsignal: 14\n",
		"ID: 1\nsignal: 14/xyz\n",
		"ID: 1\nsignal: 14/10000000000000000\n",
		"ID: 1\nsignal: 14/0\nnotify: smoke/pid.1\n",
		"ID: 1\nsignal: 14/0\nnotify: signal/uid.1\n",
		"ID: 1\nsignal: 14/0\nnotify: signal/pid.1\n",
		"ID: 1\nID: 2\n", "ID: 1\nsignal: 14/0\nnotify: signal/pid.1\nClockID: 1x\n",
		"ID: 1\nsignal: 14/0", "ID: 99999999999\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_timers timers;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_refused(proc_parse_timers, texts[i], &timers, &err, "timers");
		assert_null(timers.items.items);
	}
	assert_accepted(proc_parse_timers, "", &timers, &err);
	assert_int_equal(timers.items.count, 0);
}

static void own(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_timers_ struct proc_timers timers = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	struct sigevent to_thread = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2,
				      .sigev_value.sival_ptr = &err };
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	int first, second;
	const struct proc_timer *t;

	to_thread._sigev_un._tid = gettid();
	assert_int_equal(syscall(SYS_timer_create, CLOCK_MONOTONIC, &to_thread, &first), 0);
	assert_int_equal(syscall(SYS_timer_create, CLOCK_REALTIME, &none, &second), 0);
	if (proc_read_timers(pid_dir, &timers, &err)) {
		assert_int_equal(err.os_error, ENOENT);
		skip();
	}
	assert_int_equal(timers.items.count, 2);
	array_for(t, &timers.items) {
		assert_true(t->id == first || t->id == second);
		if (t->id == first) {
			assert_int_equal(t->notify, SIGEV_SIGNAL | SIGEV_THREAD_ID);
			assert_int_equal(t->target, gettid());
			assert_int_equal(t->signal, SIGUSR2);
			assert_true(t->value == (uintptr_t)&err);
			assert_int_equal(t->clock_id, CLOCK_MONOTONIC);
		} else {
			assert_int_equal(t->notify, SIGEV_NONE);
			assert_int_equal(t->clock_id, CLOCK_REALTIME);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ways),
		cmocka_unit_test(refused),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
