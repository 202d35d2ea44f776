/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/fdinfo: every kind of line, old and forged ones, and descriptors of our own. */
#include "proc_testing.h"

#include <errno.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>

#include "proc/fdinfo.h"

#define HEAD "pos:\t0\nflags:\t02\n"

static void common_lines(void **state)
{
	static const char text[] = "pos:\t-1\nflags:\t02100002\nmnt_id:\t24\nino:\t10952847\n"
				   "scm_fds: 3\nfuture-line:\t12\ndrm-driver:\ti915\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };

	assert_accepted(proc_parse_fdinfo, text, &info, &err);
	assert_int_equal(info.present, FDINFO_POS | FDINFO_FLAGS | FDINFO_MNT_ID | FDINFO_INO |
					       FDINFO_SCM_FDS);
	assert_true(info.pos == -1 && info.flags == 02100002);
	assert_true(info.mnt_id == 24 && info.ino == 10952847 && info.scm_fds == 3);
}

static void kind_lines(void **state)
{
	static const char text[] =
		HEAD "eventfd-count: fffffffffffffffe\neventfd-id: 5\neventfd-semaphore: 1\n"
		"clockid: 7\nticks: 9\nsettime flags: 03\n"
		"it_value: (100, 5)\nit_interval: (3, 999999999)\n"
		"sigmask:\t8000000000000001\nPid:\t-1\nNSpid:\t12\t3\niff:\ttun0\ntty-index:\t4\n"
		"pending:\t0\ntotal:\t0\nAPI:\taa:0:1ff\nprog_type:\t6\n"
		"fanotify flags:0 event-flags:8000\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };

	assert_accepted(proc_parse_fdinfo, text, &info, &err);
	assert_true(info.eventfd_count == UINT64_MAX - 1 && info.eventfd_id == 5);
	assert_true(info.eventfd_semaphore);
	assert_true(info.clock_id == 7 && info.timer_ticks == 9 && info.timer_flags == 3);
	assert_true(info.timer_value.tv_sec == 100 && info.timer_value.tv_nsec == 5);
	assert_true(info.timer_interval.tv_sec == 3 && info.timer_interval.tv_nsec == 999999999);
	assert_true(info.sigmask == 0x8000000000000001);
	assert_true(info.pid == -1 && info.ns_pid.count == 2 && info.ns_pid.id[1] == 3);
	assert_string_equal(info.tun_name, "tun0");
	assert_int_equal(info.tty_index, 4);
	assert_true(proc_fdinfo_has(&info, FDINFO_USERFAULTFD | FDINFO_BPF | FDINFO_FANOTIFY));
}

static void repeated_lines(void **state)
{
	static const char text[] =
		HEAD "tfd:        5 events: 80000019 data: ffffffffffffffff  pos:-1 ino:3d sdev:7\n"
		"tfd:        6 events:       19 data:                5 \n"
		"inotify wd:a ino:9e7e sdev:800013 mask:800afce ignored_mask:1 "
		"fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d\n"
		"inotify wd:1 ino:ffffffffffffffff sdev:13 mask:100 ignored_mask:0 \n"
		"lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n"
		"lock:\t2: POSIX  ADVISORY  READ  360 fe:01:4711 10 19\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };
	struct fdinfo_inotify *watch;

	assert_accepted(proc_parse_fdinfo, text, &info, &err);
	assert_int_equal(info.epoll.count, 2);
	assert_true(info.epoll.items[0].fd == 5 && info.epoll.items[0].events == 0x80000019);
	assert_true(info.epoll.items[0].data == UINT64_MAX && info.epoll.items[0].has_file);
	assert_true(info.epoll.items[0].pos == -1 && info.epoll.items[0].inode == 0x3d);
	assert_int_equal(info.epoll.items[0].dev_minor, 7);
	assert_true(info.epoll.items[1].data == 5 && !info.epoll.items[1].has_file);
	assert_int_equal(info.inotify.count, 2);
	watch = info.inotify.items;
	assert_true(watch[0].wd == 10 && watch[0].inode == 0x9e7e);
	assert_true(watch[0].dev_major == 8 && watch[0].dev_minor == 0x13);
	assert_true(watch[0].mask == 0x800afce && watch[0].ignored_mask == 1);
	assert_true(watch[0].has_handle && watch[0].handle_size == 8 && watch[0].handle_type == 1);
	assert_memory_equal(watch[0].handle, "\x7e\x9e\0\0\x64\x0d\x1b\x6d", 8);
	assert_true(!watch[1].has_handle && watch[1].inode == UINT64_MAX);
	assert_int_equal(info.locks.count, 2);
	assert_int_equal(info.locks.items[0].type, PROC_LOCK_FLOCK);
	assert_true(info.locks.items[1].start == 10 && info.locks.items[1].end == 19);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *piece;
	} cases[] = {
		{ "", "no position" },
		{ "pos:\t0\n", "no position" },
		{ "pos:\tx\nflags:\t0\n", "line 1" },
		{ "pos:\t0\nflags:\t08\n", "line 2" },
		{ "pos:\t9223372036854775808\nflags:\t0\n", "line 1" },
		{ HEAD "eventfd-count: 10000000000000000\n", "line 3" },
		{ HEAD "it_value: (1, 1000000000)\n", "line 3" },
		{ HEAD "it_value: 1, 2\n", "line 3" },
		{ HEAD "tfd: 5 events: 19\n", "line 3" },
		{ HEAD "tfd: 5 events: 19 data: 5 pos:0 ino:3d\n", "line 3" },
		{ HEAD "inotify wd:ffffffff ino:1 sdev:1 mask:1 ignored_mask:0\n", "line 3" },
		{ HEAD "inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:81 "
		       "fhandle-type:1 f_handle:00\n", "line 3" },
		{ HEAD "inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:2 "
		       "fhandle-type:1 f_handle:000\n", "line 3" },
		{ HEAD "inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:1 "
		       "fhandle-type:1 f_handle:0g\n", "line 3" },
		{ HEAD "lock:\tnonsense\n", "line 3" },
		{ HEAD "iff:\t0123456789abcdef\n", "line 3" },
		{ HEAD "sigmask:\t1", "cut short" },
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_fdinfo info;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_refused(proc_parse_fdinfo, cases[i].text, &info, &err, cases[i].piece);
		assert_true(!info.epoll.items && !info.inotify.items && !info.locks.items);
	}
}

static void read_own(int fd, struct proc_fdinfo *info)
{
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_parsed(proc_read_fdinfo(pid_dir, fd, info, &err), &err);
}

static void own_file(void **state)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };
	char path[] = "/tmp/proc-fdinfo.XXXXXX";
	_cleanup_fd_ int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
	struct stat st;

	assert_true(fd >= 0 && write(fd, "12345", 5) == 5 && fstat(fd, &st) == 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	read_own(fd, &info);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(info.pos, 5);
	assert_int_equal(info.flags & (O_ACCMODE | O_APPEND | O_CLOEXEC),
			 O_RDWR | O_APPEND | O_CLOEXEC);
	assert_true(!proc_fdinfo_has(&info, FDINFO_INO) || info.ino == st.st_ino);
	assert_int_equal(info.locks.count, 1);
	assert_int_equal(info.locks.items[0].type, PROC_LOCK_FLOCK);
	assert_int_equal(info.locks.items[0].mode, F_WRLCK);
	assert_int_equal(info.locks.items[0].pid, getpid());
	assert_int_equal(info.locks.items[0].inode, st.st_ino);
	assert_int_equal(info.locks.items[0].dev_major, major(st.st_dev));
	assert_int_equal(info.locks.items[0].dev_minor, minor(st.st_dev));
}

static void own_events(void **state)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo event = { 0 }, poll = { 0 }, timer = { 0 },
						 signals = { 0 }, empty = { 0 };
	_cleanup_fd_ int eventfd_fd = eventfd(7, EFD_SEMAPHORE | EFD_CLOEXEC);
	_cleanup_fd_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	_cleanup_fd_ int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), signal_fd = -1;
	struct epoll_event item = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789abcdef0 };
	struct itimerspec when = { .it_value = { 1000, 5 }, .it_interval = { 3, 4 } };
	sigset_t mask;

	read_own(epoll_fd, &empty);
	assert_int_equal(empty.present & FDINFO_EPOLL, 0);
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, eventfd_fd, &item), 0);
	assert_int_equal(timerfd_settime(timer_fd, 0, &when, NULL), 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, 64);
	signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
	read_own(eventfd_fd, &event);
	read_own(epoll_fd, &poll);
	read_own(timer_fd, &timer);
	read_own(signal_fd, &signals);

	assert_true(proc_fdinfo_has(&event, FDINFO_EVENTFD) && event.eventfd_count == 7);
	assert_true(!proc_fdinfo_has(&event, FDINFO_EVENTFD_SEMAPHORE) || event.eventfd_semaphore);
	assert_int_equal(poll.epoll.count, 1);
	assert_int_equal(poll.epoll.items[0].fd, eventfd_fd);
	assert_int_equal(poll.epoll.items[0].events & EPOLLET, EPOLLET);
	assert_true(poll.epoll.items[0].data == item.data.u64);
	assert_true(!poll.epoll.items[0].has_file || poll.epoll.items[0].inode == event.ino ||
		    !proc_fdinfo_has(&event, FDINFO_INO));
	assert_true(proc_fdinfo_has(&timer, FDINFO_TIMERFD));
	assert_int_equal(timer.clock_id, CLOCK_MONOTONIC);
	assert_true(timer.timer_value.tv_sec >= 900 && timer.timer_value.tv_sec <= 1000);
	assert_true(timer.timer_interval.tv_sec == 3 && timer.timer_interval.tv_nsec == 4);
	assert_true(signals.sigmask == (1ull << (SIGUSR1 - 1) | 1ull << 63));
}

static void own_watch(void **state)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };
	_cleanup_fd_ int fd = inotify_init1(IN_CLOEXEC);
	int wd = inotify_add_watch(fd, "/tmp", IN_CREATE | IN_DELETE);
	struct stat st;

	assert_true(wd >= 0 && stat("/tmp", &st) == 0);
	read_own(fd, &info);
	assert_int_equal(info.inotify.count, 1);
	assert_int_equal(info.inotify.items[0].wd, wd);
	assert_int_equal(info.inotify.items[0].inode, st.st_ino);
	assert_int_equal(info.inotify.items[0].dev_major, major(st.st_dev));
	assert_int_equal(info.inotify.items[0].mask & IN_ALL_EVENTS, IN_CREATE | IN_DELETE);
}

static void own_others(void **state)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo tty = { 0 }, pidfd = { 0 }, socket_info = { 0 };
	int master, slave, pair[2];
	char name[64], expected[64];
	_cleanup_fd_ int pid_fd = syscall(SYS_pidfd_open, getpid(), 0);

	assert_int_equal(openpty(&master, &slave, name, NULL, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	read_own(master, &tty);
	read_own(pid_fd, &pidfd);
	read_own(pair[0], &socket_info);
	assert_true(proc_fdinfo_has(&tty, FDINFO_TTY));
	snprintf(expected, sizeof(expected), "/dev/pts/%d", tty.tty_index);
	assert_string_equal(name, expected);
	assert_int_equal(pidfd.pid, getpid());
	assert_true(!proc_fdinfo_has(&socket_info, FDINFO_SCM_FDS) || socket_info.scm_fds == 0);
	close(master);
	close(slave);
	close(pair[0]);
	close(pair[1]);
}

static void closed_or_gone(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int pid_dir = -1;
	pid_t pid = sleeping_child(&pid_dir);
	struct proc_fdinfo info;

	assert_int_equal(proc_read_fdinfo(pid_dir, 777, &info, &err), -1);
	assert_true(err.kind == ERROR_TARGET && err.os_error == ENOENT);
	error_clear(&err);
	make_zombie(pid);
	assert_fails(proc_read_fdinfo(pid_dir, 0, &info, &err), &err, ERROR_DIED, "gone");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(common_lines),	  cmocka_unit_test(kind_lines),
		cmocka_unit_test(repeated_lines), cmocka_unit_test(refused),
		cmocka_unit_test(own_file),	  cmocka_unit_test(own_events),
		cmocka_unit_test(own_watch),	  cmocka_unit_test(own_others),
		cmocka_unit_test(closed_or_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
