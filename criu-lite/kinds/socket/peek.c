/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/peek.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "guard/guard.h"
#include "kinds/frozen.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

enum { FIRST_TRY = 64 << 10 };

static int set_offset(int fd, int offset)
{
	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

int peek_start(struct peek *p, struct dump *run, int fd, struct error *err)
{
	socklen_t size = sizeof(p->offset_before);

	memset(p, 0, sizeof(*p));
	p->run = run;
	p->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &p->offset_before, &size)) {
		/* A socket without it can only be looked at from the start. */
		if (errno != EOPNOTSUPP && errno != ENOPROTOOPT)
			return error_set(err, ERROR_TARGET, errno, "cannot read SO_PEEK_OFF");
		p->offset_before = -1;
	}
	return 0;
}

static void drop_fds(struct peek *p)
{
	while (p->fd_count)
		fd_close(&p->fds[--p->fd_count]);
}

static void take_control(struct peek *p, struct msghdr *h)
{
	p->has_credentials = false;
	p->control_size = h->msg_controllen;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			memcpy(p->fds, CMSG_DATA(c), size);
			p->fd_count = size / sizeof(int);
		} else if (c->cmsg_type == SCM_CREDENTIALS && size == sizeof(p->credentials)) {
			memcpy(&p->credentials, CMSG_DATA(c), size);
			p->has_credentials = true;
		} else if (c->cmsg_type == SCM_PIDFD) {
			int pidfd;

			memcpy(&pidfd, CMSG_DATA(c), sizeof(pidfd));
			fd_close(&pidfd);
		}
	}
}

/* One recvmsg(2) at the offset as it stands. Returns the whole length, or -1 with errno. */
static ssize_t look(struct peek *p, size_t size)
{
	struct iovec part = { .iov_base = p->data.data, .iov_len = size };
	struct msghdr h = {
		.msg_name = &p->from,
		.msg_namelen = sizeof(p->from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = p->control,
		.msg_controllen = sizeof(p->control),
	};
	ssize_t n = recvmsg(p->fd, &h, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -1;
	drop_fds(p);
	take_control(p, &h);
	p->from_size = h.msg_namelen;
	p->data.size = (size_t)n < size ? (size_t)n : size;
	return n;
}

/* Before SO_PEEK_OFF is changed for the first time. */
static int prepare(struct peek *p, struct error *err)
{
	struct guard_socket told = { .fd = p->fd, .peek_offset = p->offset_before };
	socklen_t size = sizeof(told.reuse);

	if (getsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &told.reuse, &size))
		return error_set(err, ERROR_TARGET, errno, "SO_REUSEADDR");
	if (guard_keep_socket(p->run->guard, &told, err) || frozen_stay(p->run, err))
		return -1;
	p->moved = true;
	return 0;
}

static int move(struct peek *p, size_t offset, struct error *err)
{
	/* The first look needs none. From then on even offset 0 does: it skips an empty message
	 * that has been looked at. */
	if (!p->looked && !offset && p->offset_before < 0)
		return 0;
	if (!p->moved && prepare(p, err))
		return -1;
	p->offset = offset;
	if (set_offset(p->fd, offset))
		return error_set(err, ERROR_TARGET, errno, "cannot look behind the first message");
	return 0;
}

int peek_at(struct peek *p, size_t offset, size_t size, struct error *err)
{
	size_t room = size ? size : FIRST_TRY;

	for (;;) {
		ssize_t n;

		p->data.size = 0;
		if (buffer_reserve(&p->data, room))
			return error_set(err, ERROR_FAILED, ENOMEM, "queue of a socket");
		if (move(p, offset, err))
			return -1;
		n = look(p, room);
		p->looked |= n >= 0 && (size || (size_t)n <= room);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return error_set(err, ERROR_TARGET, errno, "cannot look at its queue");
		if (size || (size_t)n <= room)
			return 1;
		if (n > PEEK_QUEUE_MAX)
			return error_set(err, ERROR_BLOCKED, 0,
					 "a message of %zd bytes waits in it", n);
		room = n;
	}
}

ssize_t peek_again(struct peek *p, void *buffer, size_t size)
{
	if (p->moved && set_offset(p->fd, p->offset))
		return -1;
	return recv(p->fd, buffer, size, MSG_PEEK | MSG_DONTWAIT);
}

int peek_end(struct peek *p, struct error *err)
{
	int failed;

	if (!p->moved)
		return 0;
	p->moved = false;
	failed = set_offset(p->fd, p->offset_before);
	if (frozen_stay_no_more(p->run, err))
		return -1;
	return failed ? error_set(err, ERROR_TARGET, errno, "cannot put SO_PEEK_OFF back") : 0;
}

void peek_release(struct peek *p)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;

	peek_end(p, &ignored);
	drop_fds(p);
	buffer_release(&p->data);
}
