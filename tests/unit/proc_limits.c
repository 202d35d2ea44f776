/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/limits: missing and forged lines, and this very process. */
#include "proc_testing.h"

#include "base/array.h"
#include "proc/limits.h"

#define LINES                                                                             \
	"Limit                     Soft Limit           Hard Limit           Units     \n" \
	"Max cpu time              unlimited            unlimited            seconds   \n" \
	"Max file size             unlimited            unlimited            bytes     \n" \
	"Max data size             unlimited            unlimited            bytes     \n" \
	"Max stack size            8388608              unlimited            bytes     \n" \
	"Max core file size        0                    unlimited            bytes     \n" \
	"Max resident set          unlimited            unlimited            bytes     \n" \
	"Max processes             96365                96366                processes \n" \
	"Max open files            20000                20001                files     \n" \
	"Max locked memory         8388608              8388608              bytes     \n" \
	"Max address space         unlimited            unlimited            bytes     \n" \
	"Max file locks            unlimited            unlimited            locks     \n" \
	"Max pending signals       96365                96365                signals   \n" \
	"Max msgqueue size         819200               819200               bytes     \n" \
	"Max nice priority         0                    0                    \n"           \
	"Max realtime priority     0                    0                    \n"
#define LAST "Max realtime timeout      18446744073709551614 unlimited            us        \n"

static void all_lines(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_limits limits;

	assert_accepted(proc_parse_limits, LINES LAST "Max new things 1 2 things\n", &limits, &err);
	assert_int_equal(limits.present, 0xffff);
	assert_true(limits.limit[RLIMIT_STACK].soft == 8388608);
	assert_true(limits.limit[RLIMIT_STACK].hard == RLIM_INFINITY);
	assert_true(limits.limit[RLIMIT_NPROC].hard == 96366);
	assert_true(limits.limit[RLIMIT_NOFILE].soft == 20000);
	assert_true(limits.limit[RLIMIT_RTTIME].soft == UINT64_MAX - 1);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *piece;
	} cases[] = {
		{ "", "cpu time" },
		{ LINES, "realtime timeout" },
		{ LINES "Max realtime timeout      18446744073709551616 0 us\n", "line 17" },
		{ LINES "Max realtime timeout      -1 0 us\n", "line 17" },
		{ LINES "Max realtime timeout      1\n", "line 17" },
		{ LINES "Max realtime timeout      1 2us\n", "line 17" },
		{ LINES "Max realtime timeout      unlimited2 2 us\n", "line 17" },
		{ LINES "Max realtime timeout      1 2", "cut short" },
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_limits limits;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(proc_parse_limits, cases[i].text, &limits, &err, cases[i].piece);
}

static void self(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	struct proc_limits limits;

	assert_parsed(proc_read_limits(pid_dir, &limits, &err), &err);
	for (int i = 0; i < PROC_LIMITS; i++) {
		struct rlimit real;

		assert_int_equal(getrlimit(i, &real), 0);
		assert_true(limits.limit[i].soft == real.rlim_cur);
		assert_true(limits.limit[i].hard == real.rlim_max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lines),
		cmocka_unit_test(refused),
		cmocka_unit_test(self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
