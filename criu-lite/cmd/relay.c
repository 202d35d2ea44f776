/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "tracee/wait.h"

struct relay {
	int terminal, master;
	pid_t root;
	/* Typed, and not yet taken by the program. */
	char typed[4096];
	size_t size, done;
};

static void copy_size(const struct relay *r)
{
	struct winsize size;

	if (!ioctl(r->terminal, TIOCGWINSZ, &size))
		ioctl(r->master, TIOCSWINSZ, &size);
}

static void take_typed(struct relay *r)
{
	ssize_t got = read(r->terminal, r->typed, sizeof(r->typed));

	r->done = 0;
	r->size = got > 0 ? got : 0;
}

static void give_typed(struct relay *r)
{
	ssize_t taken = write(r->master, r->typed + r->done, r->size - r->done);

	if (taken > 0)
		r->done += taken;
	else if (errno != EAGAIN && errno != EINTR)
		r->done = r->size;
}

/* Prints what there is. */
static bool print(const struct relay *r)
{
	char text[4096];
	ssize_t got = read(r->master, text, sizeof(text));

	return got > 0 && !write_full(r->terminal, text, got);
}

static void handle_signal(const struct relay *r, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		copy_size(r);
	else if (info.ssi_signo != SIGCHLD)
		kill(r->root, info.ssi_signo);
}

static int relay(struct relay *r, int signals, int *ret_status, int *ret_signal)
{
	for (;;) {
		int ended = child_reap(r->root, ret_status, ret_signal);
		bool full = r->done < r->size;
		struct pollfd fds[] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = full ? -1 : r->terminal, .events = POLLIN },
			{ .fd = r->master, .events = POLLIN | (full ? POLLOUT : 0) },
		};

		if (ended == 1 || (ended < 0 && errno != EINTR))
			return ended;
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return -1;
		if (fds[0].revents)
			handle_signal(r, signals);
		if (fds[1].revents)
			take_typed(r);
		if (fds[2].revents & POLLIN)
			print(r);
		if (r->done < r->size)
			give_typed(r);
	}
}

int relay_attend(int terminal, int master, pid_t root, const sigset_t *signals, int *ret_status,
		 int *ret_signal)
{
	/* As long as the slave is open somewhere, reading the master does not end. */
	_cleanup_fd_ int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_fd_ int signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	_cleanup_fd_ int owned = master;
	struct relay r = { .terminal = terminal, .master = owned, .root = root };
	struct termios settings, raw;
	int result;

	if (slave < 0 || signal_fd < 0 || fcntl(owned, F_SETFL, O_RDWR | O_NONBLOCK) ||
	    tcgetattr(terminal, &settings))
		return -1;
	raw = settings;
	cfmakeraw(&raw);
	tcsetattr(terminal, TCSANOW, &raw);
	copy_size(&r);
	result = relay(&r, signal_fd, ret_status, ret_signal);
	while (print(&r))
		;
	tcsetattr(terminal, TCSADRAIN, &settings);
	return result;
}
