/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_PEEK_H
#define CL_KINDS_SOCKET_PEEK_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/io.h"
#include "kinds/dump.h"

/*
 * Reading a receive queue without taking anything out: recvmsg(2) with MSG_PEEK. What lies behind
 * the first message is reached by SO_PEEK_OFF, which belongs to the socket and is put back at the
 * end, by the guard if we die: until then the tree stays frozen.
 */

enum {
	PEEK_FDS_MAX = 253,		/* SCM_MAX_FD */
	PEEK_QUEUE_MAX = 15 << 20,	/* bytes of one queue that fit into a message of an image */
};

struct peek {
	struct dump *run;
	int fd;
	int offset_before;	/* SO_PEEK_OFF as found; -1 is off */
	bool moved;		/* it has been changed */
	bool looked;		/* at something */
	size_t offset;		/* of the last look */

	/* The message. */
	struct buffer data;
	struct sockaddr_storage from;
	socklen_t from_size;
	int fds[PEEK_FDS_MAX];	/* ours, close-on-exec */
	int fd_count;
	bool has_credentials;
	struct ucred credentials;
	/* Ancillary data as received, for those who know more kinds of it. */
	char control[4096] __attribute__((aligned(8)));
	size_t control_size;
};

int peek_start(struct peek *p, struct dump *run, int fd, struct error *err);
/* Looks at what lies `offset` bytes into the queue, at most `size` bytes of it (0: one whole
 * message). Returns 1, 0 when there is nothing, or -1. Descriptors of the message before are
 * closed. */
int peek_at(struct peek *p, size_t offset, size_t size, struct error *err);
/* Looks at the same place once more, only for how much of it is copied to `buffer`. Returns what
 * recvmsg(2) does. */
ssize_t peek_again(struct peek *p, void *buffer, size_t size);
/* Puts SO_PEEK_OFF back; closes and frees. */
int peek_end(struct peek *p, struct error *err);
/* The same for the way out of a failure. */
void peek_release(struct peek *p);
#define _cleanup_peek_ __attribute__((cleanup(peek_release)))

#endif
