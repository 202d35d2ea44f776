/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where cgroups are in the file system, and the way back. */
#include "proc_testing.h"

#include "freeze/hierarchy.h"

static const char text[] =
	"30 1 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
	"31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	"32 30 0:27 /host /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	"33 30 0:28 /../.. /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	"34 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
	"35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

struct expected {
	const char *controllers, *path, *directory;
};

static const struct expected there[] = {
	{ "cpu,cpuacct", "/a/b", "/sys/fs/cgroup/cpu,cpuacct/a/b" },
	{ "cpu", "/a", "/sys/fs/cgroup/cpu,cpuacct/a" },
	{ "cpuacct", "/a", "/sys/fs/cgroup/cpu,cpuacct/a" },
	{ "memory", "/host/a", "/sys/fs/cgroup/memory/a" },
	{ "name=systemd", "/a", "/sys/fs/cgroup/systemd/a" },
	{ "", "/a", "/sys/fs/cgroup/unified/a" },
};

static const struct expected not_there[] = {
	{ "cpu", "/", "/sys/fs/cgroup/cpu,cpuacct" },
	{ "cpu", "/../x", "/sys/fs/cgroup/cpu,cpuacct/" },
	{ "cpuset", "/a", "/sys/fs/cgroup/cpuset/a" },
	{ "memory", "/host", "/sys/fs/cgroup/memory" },
	{ "memory", "/hosta", "/sys/fs/cgroup/memorya" },
	{ "memory", "/other/a", "/sys/fs/cgroup/unified/a" },
	{ "pids", "/a", "/sys/fs/cgroup/pids" },
	{ "systemd", "/a", "/tmp/a" },
};

static void both_ways(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	const struct expected *e;

	assert_accepted(proc_parse_mountinfo, text, &mounts, &err);
	for (e = there; e < there + ARRAY_SIZE(there); e++) {
		_cleanup_free_ char *directory = NULL, *path = NULL;
		size_t top = 0;

		directory = hierarchy_directory(&mounts, e->controllers, e->path, &top);
		assert_non_null(directory);
		assert_string_equal(directory, e->directory);
		assert_int_equal(directory[top], '/');
		path = hierarchy_path(&mounts, e->controllers, e->directory);
		assert_non_null(path);
		assert_string_equal(path, e->path);
	}
	for (e = not_there; e < not_there + ARRAY_SIZE(not_there); e++) {
		assert_null(hierarchy_directory(&mounts, e->controllers, e->path, NULL));
		assert_null(hierarchy_path(&mounts, e->controllers, e->directory));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
