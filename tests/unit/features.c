/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of kernel features are complete, their probes agree with what is known, and hide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "kernel-compat/features.h"

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < features_count; i++) {
		const struct feature *f = &features_table[i];

		assert_int_equal(strspn(f->name, "abcdefghijklmnopqrstuvwxyz0123456789-"),
				 strlen(f->name));
		assert_true(strlen(f->needed_by) > 0);
		assert_non_null(f->since);
		assert_non_null(f->probe);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(f->name, features_table[k].name);
	}
}

static void test_probes_leave_nothing(void **state)
{
	int before = open_descriptors();

	for (size_t i = 0; i < features_count; i++) {
		int r = features_table[i].probe();

		assert_true(r >= 0 && r < 4096);
		assert_int_equal(features_table[i].probe(), r);
	}
	assert_int_equal(open_descriptors(), before);
}

/* Features as old as 5.6 that need no privilege are in every kernel that we may meet. */
static void test_old_ones_work(void **state)
{
	static const char *const names[] = { "process-vm", "pidfd-getfd", "fdinfo-ino", "pty-peer" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!feature_works(names[i]))
			fail_msg("%s does not work", names[i]);
}

static void test_hidden(void **state)
{
	assert_true(feature_works("process-vm"));
	setenv("CRIU_LITE_WITHOUT", "kcmp,process-vm", 1);
	assert_false(feature_works("process-vm"));
	assert_false(feature_works("kcmp"));
	assert_true(feature_works("pidfd-getfd"));
	assert_false(feature_hidden("kcmp-epoll"));
	setenv("CRIU_LITE_WITHOUT", "process", 1);
	assert_true(feature_works("process-vm"));
	unsetenv("CRIU_LITE_WITHOUT");
	assert_true(feature_works("kcmp"));
	assert_false(feature_works("no-such-feature"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_probes_leave_nothing),
		cmocka_unit_test(test_old_ones_work),
		cmocka_unit_test(test_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
