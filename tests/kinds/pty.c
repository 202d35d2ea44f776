/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pseudo-terminals keep index, settings, size, modes, and data in both directions. */
/* test: kinds=pty-master,terminal */
/* test: own=terminals */
#include "testing.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

struct pair {
	int master, slave;
	unsigned index;
};

static struct pair open_pair(void)
{
	struct pair p;
	char path[32];

	test_must((p.master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0);
	test_must(grantpt(p.master) == 0 && unlockpt(p.master) == 0);
	test_must(ioctl(p.master, TIOCGPTN, &p.index) == 0);
	snprintf(path, sizeof(path), "/dev/pts/%u", p.index);
	test_must((p.slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0);
	return p;
}

static void make_raw(int fd)
{
	struct termios t;

	test_must(tcgetattr(fd, &t) == 0);
	cfmakeraw(&t);
	test_must(tcsetattr(fd, TCSANOW, &t) == 0);
}

static void put(int fd, const void *data, size_t size)
{
	test_check(write(fd, data, size) == (ssize_t)size, "write of %zu bytes", size);
}

/* One read must give exactly this. */
static void expect_read(const char *what, int fd, const void *data, size_t size)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	char got[256];
	ssize_t r;

	test_check(poll(&poller, 1, 5000) == 1, "%s: nothing to read", what);
	r = read(fd, got, sizeof(got));
	test_check(r == (ssize_t)size && !memcmp(got, data, size), "%s: read %zd '%.*s'", what, r,
		   (int)(r > 0 ? r : 0), got);
}

static void expect_empty(const char *what, int fd)
{
	char byte;

	test_check(read(fd, &byte, 1) == -1 && errno == EAGAIN, "%s: something is left", what);
}

static void check_index(const struct pair *p)
{
	unsigned index = ~0u;
	struct stat st;

	test_must(ioctl(p->master, TIOCGPTN, &index) == 0);
	test_check(index == p->index, "index %u, was %u", index, p->index);
	test_must(fstat(p->slave, &st) == 0);
	test_check(minor(st.st_rdev) == p->index, "slave %u of index %u", minor(st.st_rdev),
		   p->index);
}

/* Settings, size, modes, owner. */
static void change_modes(const struct pair *p)
{
	const struct winsize size = { 37, 111, 5, 6 };
	struct termios t;
	int on = 1;

	test_must(tcgetattr(p->slave, &t) == 0);
	t.c_cc[VINTR] = 7;
	t.c_lflag &= ~ECHO;
	t.c_oflag &= ~ONLCR;
	cfsetspeed(&t, B19200);
	test_must(tcsetattr(p->slave, TCSANOW, &t) == 0);
	test_must(ioctl(p->master, TIOCSWINSZ, &size) == 0);
	test_must(ioctl(p->master, TIOCPKT, &on) == 0);
	test_must(fchown(p->slave, 1, 5) == 0 && fchmod(p->slave, 0640) == 0);
	test_must(ioctl(p->slave, TIOCEXCL) == 0);
	test_must(ioctl(p->master, TIOCSPTLCK, &on) == 0);
}

static void check_modes(const struct pair *p)
{
	struct winsize size;
	struct termios t;
	struct stat st;
	int value = 0;

	test_must(tcgetattr(p->slave, &t) == 0);
	test_check(t.c_cc[VINTR] == 7 && !(t.c_lflag & ECHO) && t.c_lflag & ICANON &&
		   !(t.c_oflag & ONLCR) && cfgetospeed(&t) == B19200, "the settings have changed");
	test_must(ioctl(p->slave, TIOCGWINSZ, &size) == 0);
	test_check(size.ws_row == 37 && size.ws_col == 111 && size.ws_xpixel == 5 &&
		   size.ws_ypixel == 6, "%u rows, %u columns", size.ws_row, size.ws_col);
	test_check(!ioctl(p->master, TIOCGPKT, &value) && value, "no packet mode");
	test_check(!ioctl(p->slave, TIOCGEXCL, &value) && value, "not exclusive");
	test_check(!ioctl(p->master, TIOCGPTLCK, &value) && value, "not locked");
	test_must(fstat(p->slave, &st) == 0);
	test_check(st.st_uid == 1 && st.st_gid == 5 && (st.st_mode & 07777) == 0640,
		   "slave of %u:%u, mode %o", st.st_uid, st.st_gid, st.st_mode & 07777);
	test_check((fcntl(p->slave, F_GETFL) & O_NONBLOCK) &&
			   (fcntl(p->master, F_GETFL) & O_NONBLOCK),
		   "it blocks");
	put(p->slave, "x", 1);
	expect_read("packet", p->master, "\0x", 2);
}

int main(int argc, char **argv)
{
	struct pair canonical, raw, closed, modes, unopened, hung_up, stopped;
	char old[64], now[64], big[3000];
	struct pollfd poller;
	int shared;

	test_init(argc, argv);
	memset(big, 'b', sizeof(big));
	canonical = open_pair();
	raw = open_pair();
	closed = open_pair();
	modes = open_pair();
	hung_up = open_pair();
	stopped = open_pair();
	test_must((unopened.master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0);
	test_must((shared = dup(raw.slave)) >= 0);

	/* Two lines, an end of file and an incomplete line, with their echo the other way. */
	put(canonical.master, "one\ntwo\nthree\004\004fo", 17);
	expect_read("echo", canonical.master, "one\r\ntwo\r\nthreefo", 17);
	put(canonical.slave, "answer\n", 7);
	make_raw(raw.slave);
	put(raw.master, "\0\003\004\177raw\r\n", 9);
	put(raw.slave, big, sizeof(big));
	put(closed.slave, "last words", 10);
	close(closed.slave);
	change_modes(&modes);
	close(hung_up.master);
	make_raw(stopped.slave);
	test_must(tcflow(stopped.slave, TCOOFF) == 0);
	test_must(ptsname_r(unopened.master, old, sizeof(old)) == 0);

	test_checkpoint_here();

	check_index(&canonical);
	check_index(&raw);
	check_index(&modes);
	expect_read("output", canonical.master, "answer\r\n", 8);
	expect_empty("output", canonical.master);
	expect_read("line", canonical.slave, "one\n", 4);
	expect_read("line", canonical.slave, "two\n", 4);
	expect_read("end of file", canonical.slave, "three", 5);
	expect_read("end of file", canonical.slave, "", 0);
	expect_empty("incomplete line", canonical.slave);
	put(canonical.master, "ur\n", 3);
	expect_read("completed line", canonical.slave, "four\n", 5);
	expect_read("echo", canonical.master, "ur\r\n", 4);
	put(canonical.master, "kill\177\177\177st\n", 10);
	expect_read("edited line", canonical.slave, "kst\n", 4);

	expect_read("raw input", raw.slave, "\0\003\004\177raw\r\n", 9);
	for (int left = sizeof(big); left > 0;) {
		int r = read(raw.master, big, sizeof(big));

		test_check(r > 0 && big[0] == 'b' && big[r - 1] == 'b', "%d bytes of output", r);
		left -= r;
		test_check(left >= 0, "%d bytes too many", -left);
	}
	expect_empty("raw output", raw.master);
	test_must(fcntl(shared, F_SETFL, O_RDWR) == 0);
	test_check(!(fcntl(raw.slave, F_GETFL) & O_NONBLOCK),
		   "the descriptors do not share any more");

	expect_read("last words", closed.master, "last words", 10);
	test_check(read(closed.master, now, 1) == -1 && errno == EIO, "the closed slave is open");
	check_modes(&modes);
	poller = (struct pollfd){ .fd = unopened.master };
	test_check(poll(&poller, 1, 0) == 0, "a slave never opened counts as closed");
	test_must(ptsname_r(unopened.master, now, sizeof(now)) == 0);
	test_check(!strcmp(old, now), "%s, was %s", now, old);
	test_check(read(hung_up.slave, now, 1) == 0, "the hung-up slave can be read");
	test_check(write(hung_up.slave, "x", 1) == -1 && errno == EIO, "it can be written");

	poller = (struct pollfd){ .fd = stopped.slave, .events = POLLOUT };
	test_check(poll(&poller, 1, 0) == 0, "stopped output can be written");
	test_must(tcflow(stopped.slave, TCOON) == 0);
	put(stopped.slave, "go", 2);
	expect_read("resumed output", stopped.master, "go", 2);
	test_pass();
}
