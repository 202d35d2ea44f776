/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/mountinfo: every field, odd paths, forged lines, and this very process. */
#include "proc_testing.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proc/mountinfo.h"

static void every_field(void **state)
{
	static const char text[] =
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
		"37 36 0:45 / /a\\040b\\012c\\134d ro,nosuid,nodev,noexec,nodiratime,relatime,"
		"idmapped shared:5 master:6 propagate_from:7 unbindable future:1 - fuse.my\\040fs "
		"user@host:/x\\040y ro,sync,lazytime,lowerdir=/a\\040b:c\n"
		"38 36 0:46 /gone\\040dir//deleted /m rw - tmpfs  rw\n"
		"39 1 0:4 net:[4026531840] /run/netns/x rw shared:23 - nsfs nsfs rw\n"
		"40 36 0:47 / /m rw,nosymfollow - overlay none rw\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	const struct proc_mount *m;

	assert_accepted(proc_parse_mountinfo, text, &mounts, &err);
	assert_int_equal(mounts.items.count, 5);
	m = proc_mounts_find(&mounts, 36);
	assert_true(m->parent == 35 && m->dev_major == 98 && m->dev_minor == 0);
	assert_string_equal(m->root, "/mnt1");
	assert_string_equal(m->mount_point, "/mnt2");
	assert_string_equal(m->options, "rw,noatime");
	assert_true(m->flags == MS_NOATIME && m->master == 1 && m->shared == 0);
	assert_string_equal(m->type, "ext3");
	assert_string_equal(m->source, "/dev/root");
	assert_string_equal(m->super_options, "rw,errors=continue");
	assert_int_equal(m->super_flags, 0);
	m = proc_mounts_find(&mounts, 37);
	assert_string_equal(m->mount_point, "/a b\nc\\d");
	assert_true(m->flags == (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NODIRATIME |
				 MS_RELATIME));
	assert_true(m->idmapped && m->unbindable);
	assert_true(m->shared == 5 && m->master == 6 && m->propagate_from == 7);
	assert_string_equal(m->type, "fuse.my fs");
	assert_string_equal(m->source, "user@host:/x y");
	assert_true(m->super_flags == (MS_RDONLY | MS_SYNCHRONOUS | MS_LAZYTIME));
	assert_string_equal(m->super_options, "ro,sync,lazytime,lowerdir=/a\\040b:c");
	m = proc_mounts_find(&mounts, 38);
	assert_true(m->root_deleted);
	assert_string_equal(m->root, "/gone dir");
	assert_string_equal(m->source, "");
	assert_string_equal(m->super_options, "rw");
	m = proc_mounts_find(&mounts, 39);
	assert_string_equal(m->root, "net:[4026531840]");
	assert_int_equal(proc_mounts_find(&mounts, 40)->flags, 256);
	assert_null(proc_mounts_find(&mounts, 41));
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"\n", "36\n", "36 35 98:0 / /\n", "36 35 98:0 / / rw - ext3 x\n",
		"36 35 98:0 / / rw - ext3\n",
		"36 35 98:0 / / rw shared:1 ext3 x rw\n", "x 35 98:0 / / rw - ext3 x rw\n",
		"36 35 98 / / rw - ext3 x rw\n", "36 35 98:0 / / rw shared:x - ext3 x rw\n",
		"36 35 98:0  / rw - ext3 x rw\n", "36 35 98:0 /  rw - ext3 x rw\n",
		"36 35 98:0 / / rw -  x rw\n", "99999999999 35 98:0 / / rw - ext3 x rw\n",
		"36 35 98:4294967296 / / rw - ext3 x rw\n", "36 35 98:0 / / rw - ext3 x rw",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_mounts mounts;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_refused(proc_parse_mountinfo, texts[i], &mounts, &err, "mountinfo");
		assert_null(mounts.items.items);
	}
}

static void self(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	const struct proc_mount *m, *found = NULL;
	struct stat st;

	assert_parsed(proc_read_mountinfo(pid_dir, &mounts, &err), &err);
	assert_int_equal(stat("/proc", &st), 0);
	array_for(m, &mounts.items)
		if (strcmp(m->mount_point, "/proc") == 0)
			found = m;
	assert_non_null(found);
	assert_string_equal(found->type, "proc");
	assert_string_equal(found->root, "/");
	assert_int_equal(makedev(found->dev_major, found->dev_minor), st.st_dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field),
		cmocka_unit_test(refused),
		cmocka_unit_test(self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
