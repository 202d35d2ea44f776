/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard's process: waits, and in the end does nothing, or everything. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "guard/board.h"

/* Two descriptors stay, as numbers 3 and 4, beside the one to keep; the standard ones lead
 * nowhere, since whoever reads the other ends of ours waits for their end. */
static void keep_descriptors(int *controller, int *socket, int keep)
{
	const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	int i, a = fcntl(*controller, F_DUPFD_CLOEXEC, 5), b = fcntl(*socket, F_DUPFD_CLOEXEC, 5);

	for (i = 0; i < 3; i++)
		if (nowhere >= 0)
			dup2(nowhere, i);
		else
			close(i);
	*controller = dup3(a, 3, O_CLOEXEC);
	*socket = dup3(b, 4, O_CLOEXEC);
	if (keep > 5)
		close_range(5, keep - 1, 0);
	close_range(keep < 5 ? 5 : keep + 1, ~0u, 0);
}

/* Out of the way of signals to our group, of working directories that shall be unmounted, and of
 * the out-of-memory killer as far as we may. */
static void settle(void)
{
	struct rlimit limit;
	int fd;

	setsid();
	if (chdir("/"))
		return;
	prctl(PR_SET_NAME, TRACEE_GUARD_NAME);
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "-1000", 5) != 5 && write(fd, "0", 1) != 1)
		errno = 0;
	fd_close(&fd);
}

static void drop(struct kept *kept, struct board *board)
{
	struct guard_socket *s;

	array_for(s, &kept->sockets)
		close(s->fd);
	kept->sockets.count = 0;
	__atomic_add_fetch(&board->dropped, 1, __ATOMIC_RELEASE);
}

static void keep(struct kept *kept, const struct board_message *word, int fd)
{
	struct guard_socket *socket;
	int *pidfd;

	if (word->what == MESSAGE_FREEZER) {
		kept->freezers[word->slot] = fd;
		return;
	}
	if (word->what == MESSAGE_OPEN)
		return;
	if (word->what == MESSAGE_DECISION || word->what == MESSAGE_WRITER) {
		*(word->what == MESSAGE_WRITER ? &kept->writer : &kept->decision) = fd;
		return;
	}
	if (word->what == MESSAGE_PROCESS) {
		pidfd = array_add(&kept->processes);
		if (pidfd)
			*pidfd = fd;
		return;
	}
	socket = array_add(&kept->sockets);
	if (socket) {
		*socket = word->socket;
		socket->fd = fd;
	}
}

/* One message of the controller. False when there is none any more. */
static bool take_message(int socket, struct kept *kept, struct board *board)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct board_message word;
	struct iovec text = { &word, sizeof(word) };
	struct msghdr message = {
		.msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *part;
	int fd = -1;

	if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(word))
		return false;
	part = CMSG_FIRSTHDR(&message);
	if (part && part->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(part), sizeof(fd));
	if (word.what == MESSAGE_DROP_SOCKETS)
		drop(kept, board);
	else if (fd >= 0)
		keep(kept, &word, fd);
	return true;
}

void guard_run(struct board *board, int controller, int socket, int keep)
{
	struct kept kept = { .freezers = { -1, -1 }, .decision = -1, .writer = -1 };

	keep_descriptors(&controller, &socket, keep);
	settle();
	for (;;) {
		struct pollfd events[] = {
			{ .fd = controller, .events = POLLIN },
			{ .fd = socket, .events = POLLIN },
		};

		if (poll(events, 2, -1) < 0 && errno != EINTR)
			break;
		if (events[1].revents && !take_message(socket, &kept, board))
			fd_close(&socket);
		if (!events[0].revents)
			continue;
		while (socket >= 0 && take_message(socket, &kept, board))
			;
		break;
	}
	if (!board->done)
		guard_repair(board, &kept);
	_exit(0);
}
