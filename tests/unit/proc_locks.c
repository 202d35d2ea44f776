/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/locks: every type, waiting locks, forged lines, and locks of our own. */
#include "proc_testing.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proc/locks.h"

static void every_type(void **state)
{
	static const char text[] =
		"1: POSIX  ADVISORY  READ 4711 fe:01:123 128 128\n"
		"2: FLOCK  ADVISORY  WRITE 5 00:2f:18446744073709551615 0 EOF\n"
		"2: -> FLOCK  ADVISORY  WRITE 6 00:2f:18446744073709551615 0 EOF\n"
		"2:   -> FLOCK  ADVISORY  READ 7 00:2f:1 0 EOF\n"
		"3: OFDLCK ADVISORY  WRITE -1 103:02:9 0 9223372036854775806\n"
		"4: LEASE  ACTIVE    READ 8 fe:01:5 0 EOF\n"
		"5: LEASE  BREAKING  UNLCK 9 fe:01:5 0 EOF\n"
		"6: DELEG  ACTIVE    READ 0 fe:01:6 0 EOF\n"
		"7: FLOCK  MSNFS     RW 0 fe:01:6 0 EOF\n"
		"8: UNKNOWN UNKNOWN  READ 3 <none>:0 0 EOF\n";
	static const enum proc_lock_type types[] = {
		PROC_LOCK_POSIX, PROC_LOCK_FLOCK, PROC_LOCK_FLOCK, PROC_LOCK_FLOCK, PROC_LOCK_OFD,
		PROC_LOCK_LEASE, PROC_LOCK_LEASE, PROC_LOCK_DELEG, PROC_LOCK_FLOCK, PROC_LOCK_OTHER,
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_locks_ struct proc_locks locks = { 0 };
	struct proc_lock *l;

	assert_accepted(proc_parse_locks, text, &locks, &err);
	assert_int_equal(locks.items.count, ARRAY_SIZE(types));
	l = locks.items.items;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(l[i].type, types[i]);
		assert_int_equal(l[i].blocked, i == 2 || i == 3);
		assert_int_equal(l[i].breaking, i == 6);
		assert_int_equal(l[i].has_file, i != 9);
	}
	assert_true(l[0].mode == F_RDLCK && l[0].pid == 4711);
	assert_true(l[0].start == 128 && l[0].end == 128);
	assert_true(l[0].dev_major == 0xfe && l[0].dev_minor == 1 && l[0].inode == 123);
	assert_true(l[1].mode == F_WRLCK && l[1].end == UINT64_MAX && l[1].inode == UINT64_MAX);
	assert_true(l[2].id == 2 && l[2].pid == 6);
	assert_true(l[4].pid == -1 && l[4].dev_major == 0x103 && l[4].end == INT64_MAX - 1);
	assert_true(l[6].mode == F_UNLCK);
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"\n", "1:\n", "x: POSIX  ADVISORY  READ 1 fe:01:1 0 EOF\n",
		"1: POSIX  ADVISORY  READ x fe:01:1 0 EOF\n",
		"1: POSIX  ADVISORY  READ 1 fe:01 0 EOF\n",
		"1: POSIX  ADVISORY  READ 1 fe:01:1 0 EOFF\n",
		"1: POSIX  ADVISORY  READ 1 fe:01:1 0\n",
		"1: POSIX  ADVISORY  READ 1 fe:01:1 5 4\n",
		"1: POSIX  ADVISORY  READ 1 fe:01:1 -1 4\n",
		"1: ->\n", "1: -> POSIX\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_locks locks;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_refused(proc_parse_locks, texts[i], &locks, &err, "locks line 1");
	assert_accepted(proc_parse_locks, "", &locks, &err);
	assert_int_equal(locks.items.count, 0);
}

static void own(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_locks_ struct proc_locks locks = { 0 };
	_cleanup_fd_ int proc_dir = open_dir("/proc"), fd = -1;
	char path[] = "/tmp/proc-locks.XXXXXX";
	struct flock posix = { .l_type = F_WRLCK, .l_start = 100, .l_len = 10 };
	struct flock ofd = { .l_type = F_RDLCK, .l_start = 200 };
	struct proc_lock *lock;
	bool posix_seen = false, ofd_seen = false;
	struct stat st;

	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0 && unlink(path) == 0 && fstat(fd, &st) == 0);
	assert_int_equal(fcntl(fd, F_SETLK, &posix), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &ofd), 0);
	assert_parsed(proc_read_locks(proc_dir, &locks, &err), &err);
	array_for(lock, &locks.items) {
		if (lock->inode != st.st_ino || lock->dev_minor != minor(st.st_dev))
			continue;
		if (lock->type == PROC_LOCK_POSIX)
			posix_seen = lock->pid == getpid() && lock->mode == F_WRLCK &&
				     lock->start == 100 && lock->end == 109;
		if (lock->type == PROC_LOCK_OFD)
			ofd_seen = lock->pid == -1 && lock->mode == F_RDLCK &&
				   lock->start == 200 && lock->end == UINT64_MAX;
	}
	assert_true(posix_seen && ofd_seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
		cmocka_unit_test(refused),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
