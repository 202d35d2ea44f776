/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/cgroup: version 1, version 2 and both at once. */
#include "proc_testing.h"

#include "proc/cgroup.h"

static void both_versions(void **state)
{
	static const char text[] = "9:name=systemd:/\n4:memory:/a:b/c d\n"
				   "2:cpu,cpuacct:/../x (deleted)\n"
				   "0::/user.slice/x (deleted) (deleted)\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };

	assert_accepted(proc_parse_cgroups, text, &cgroups, &err);
	assert_int_equal(cgroups.items.count, 4);
	assert_string_equal(proc_cgroups_find(&cgroups, "memory")->path, "/a:b/c d");
	assert_int_equal(proc_cgroups_find(&cgroups, "memory")->hierarchy, 4);
	assert_string_equal(proc_cgroups_find(&cgroups, "cpuacct")->path, "/../x");
	assert_true(proc_cgroups_find(&cgroups, "cpu")->deleted);
	assert_null(proc_cgroups_find(&cgroups, "cpua"));
	assert_null(proc_cgroups_find(&cgroups, "freezer"));
	assert_string_equal(proc_cgroups_find(&cgroups, "name=systemd")->path, "/");
	assert_string_equal(proc_cgroups_find(&cgroups, "")->path, "/user.slice/x (deleted)");
	assert_true(proc_cgroups_find(&cgroups, "")->deleted);
}

static void refused(void **state)
{
	static const char *const texts[] = { "\n", "x:cpu:/\n", "1\n", "1:cpu\n", "1:cpu:\n",
					     "1:cpu:x\n", "99999999999::/\n", "-1::/\n", "0::/" };
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_cgroups cgroups;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_refused(proc_parse_cgroups, texts[i], &cgroups, &err, "cgroup");
}

static void self(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	const struct proc_cgroup *cgroup;

	assert_parsed(proc_read_cgroups(pid_dir, &cgroups, &err), &err);
	assert_true(cgroups.items.count > 0);
	array_for(cgroup, &cgroups.items)
		assert_int_equal(cgroup->path[0], '/');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions),
		cmocka_unit_test(refused),
		cmocka_unit_test(self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
