/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits in the receive queues of Unix sockets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/socket/peek.h"
#include "kinds/socket/unix.h"

/* ---- dump ---- */

static UnixSocket__Message *add_message(UnixSocket *m)
{
	UnixSocket__Message **slot = socket_repeated(&m->queue, &m->n_queue, sizeof(*slot));

	if (!slot)
		return NULL;
	*slot = malloc(sizeof(**slot));
	if (*slot)
		unix_socket__message__init(*slot);
	else
		m->n_queue--;
	return *slot;
}

static int add_credentials(const struct peek *p, UnixSocket__Message *message)
{
	UnixSocket__Credentials *c;

	/* A message that was sent without credentials shows process 0. */
	if (!p->has_credentials || !p->credentials.pid)
		return 0;
	c = message->credentials = malloc(sizeof(*c));
	if (!c)
		return -1;
	unix_socket__credentials__init(c);
	c->pid = p->credentials.pid;
	c->uid = p->credentials.uid;
	c->gid = p->credentials.gid;
	return 0;
}

static int add_files(struct dump_files *d, const struct peek *p, UnixSocket__Message *message,
		     struct error *err)
{
	for (int i = 0; i < p->fd_count; i++) {
		uint32_t *slot = socket_repeated(&message->files, &message->n_files, sizeof(*slot));

		if (!slot)
			return error_set(err, ERROR_FAILED, ENOMEM, "descriptors in flight");
		*slot = dump_files_in_flight(d, p->fds[i], err);
		if (!*slot)
			return -1;
	}
	return 0;
}

/* Bytes [from, to) of what was looked at; with the descriptors if they belong to these. */
static int keep(struct dump_files *d, const struct peek *p, size_t from, size_t to, bool with_fds,
		UnixSocket *m, struct error *err)
{
	UnixSocket__Message *message = add_message(m);

	if (!message || socket_bytes(&message->data, p->data.data + from, to - from) ||
	    add_credentials(p, message))
		return error_set(err, ERROR_FAILED, ENOMEM, "queue of a socket");
	return with_fds ? add_files(d, p, message, err) : 0;
}

/*
 * Descriptors stick to what was sent together with them, which is the end of the stretch that they
 * came with. Where it starts the kernel tells when its last byte finds no room: what is copied
 * until then are the whole buffers before it, and none at all is an error.
 */
static int find_start(struct peek *p, size_t *ret, struct error *err)
{
	size_t page = sysconf(_SC_PAGESIZE), whole = p->data.size;
	size_t room = (whole + page - 1) / page * page;
	char *area =
		mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;

	if (area == MAP_FAILED || mprotect(area + room, page, PROT_NONE))
		return error_set(err, ERROR_FAILED, errno, "queue of a socket");
	n = peek_again(p, area + room - (whole - 1), whole);
	munmap(area, room + page);
	if (n < 0 && errno != EFAULT)
		return error_set(err, ERROR_TARGET, errno, "cannot look at its queue");
	*ret = n < 0 ? 0 : n;
	return 0;
}

static int dump_stream(struct dump_files *d, struct dump_file *f, struct peek *p, UnixSocket *m,
		       struct error *err)
{
	int waiting;

	if (ioctl(p->fd, FIONREAD, &waiting))
		return error_set(err, ERROR_TARGET, errno, "cannot read the length of its queue");
	if (waiting > PEEK_QUEUE_MAX)
		return error_set(err, ERROR_BLOCKED, 0, "%d bytes wait in it", waiting);
	for (size_t offset = 0; offset < (size_t)waiting;) {
		int got = peek_at(p, offset, waiting - offset, err);
		size_t start = 0;

		if (got < 0)
			return -1;
		if (!got || !p->data.size)
			return error_set(err, ERROR_TARGET, 0,
					 "%d bytes wait in it, only %zu are found", waiting,
					 offset);
		if (p->fd_count && find_start(p, &start, err))
			return -1;
		if ((start && keep(d, p, 0, start, false, m, err)) ||
		    keep(d, p, start, p->data.size, true, m, err))
			return -1;
		offset += p->data.size;
	}
	return 0;
}

static int dump_messages(struct dump_files *d, struct peek *p, UnixSocket *m, struct error *err)
{
	size_t offset = 0;

	for (;;) {
		int got = peek_at(p, offset, 0, err);
		UnixSocket__Message *message;
		const void *name;
		size_t length;

		if (got <= 0)
			return got;
		/* A closed connection reads as an empty message for ever. */
		if (m->state != UNIX_SOCKET__STATE__UNCONNECTED && !p->data.size &&
		    (m->shutdown & 1))
			return 0;
		if (offset + p->data.size > PEEK_QUEUE_MAX)
			return error_set(err, ERROR_BLOCKED, 0, "more than 15 MiB wait in it");
		if (keep(d, p, 0, p->data.size, true, m, err))
			return -1;
		message = m->queue[m->n_queue - 1];
		length = unix_address_name((struct sockaddr_un *)&p->from, p->from_size, &name);
		message->has_sender = length;
		if (length && socket_bytes(&message->sender, name, length))
			return error_set(err, ERROR_FAILED, ENOMEM, "queue of a socket");
		offset += p->data.size;
	}
}

int unix_queue_dump(struct dump_files *d, struct dump_file *f, UnixSocket *m, struct error *err)
{
	_cleanup_peek_ struct peek p;
	int r;

	if (peek_start(&p, dump_files_run(d), dump_file_fd(d, f, err), err))
		return error_wrap(err, "%s", dump_file_name(f));
	/* A stream that was never connected can hold nothing, and says so by an error. */
	if (m->socket->type != SOCK_DGRAM && (m->state == UNIX_SOCKET__STATE__UNCONNECTED))
		return 0;
	r = m->socket->type == SOCK_STREAM ? dump_stream(d, f, &p, m, err) :
					     dump_messages(d, &p, m, err);
	if (r || peek_end(&p, err))
		return error_wrap(err, "%s", dump_file_name(f));
	return 0;
}

/* ---- restore ---- */

/* Sends one message as the saved sender; to may be NULL on a connected socket. */
static int send_message(struct restore_files *r, int fd, const struct sockaddr_un *to,
			socklen_t to_size, const UnixSocket__Message *message, struct error *err)
{
	char control[CMSG_SPACE(PEEK_FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))]
		__attribute__((aligned(8))) = { 0 };
	struct iovec part = { .iov_base = message->data.data, .iov_len = message->data.len };
	struct msghdr h = { .msg_name = (void *)to, .msg_namelen = to ? to_size : 0,
			    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	size_t used = 0;
	ssize_t n;

	if (message->n_files > PEEK_FDS_MAX)
		return error_set(err, ERROR_IMAGE, 0, "%zu descriptors in one message",
				 message->n_files);
	if (message->n_files) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(message->n_files * sizeof(int));
		for (size_t i = 0; i < message->n_files; i++) {
			struct restore_file *f = restore_files_get(r, message->files[i]);

			if (!f)
				return error_set(err, ERROR_IMAGE, 0,
						 "description %u in flight is missing",
						 message->files[i]);
			memcpy(CMSG_DATA(c) + i * sizeof(int), &f->fd, sizeof(int));
		}
		used = CMSG_SPACE(message->n_files * sizeof(int));
		c = (struct cmsghdr *)(control + used);
	}
	if (message->credentials) {
		struct ucred who = { message->credentials->pid, message->credentials->uid,
				     message->credentials->gid };

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(who));
		memcpy(CMSG_DATA(c), &who, sizeof(who));
		used += CMSG_SPACE(sizeof(who));
	}
	h.msg_controllen = used;
	if (!used)
		h.msg_control = NULL;
	n = unix_send_as(fd, message->credentials, &h);
	if (n < 0 || (size_t)n != message->data.len)
		return error_set(err, ERROR_FAILED, n < 0 ? errno : EAGAIN,
				 "cannot refill the queue with a message of %zu bytes",
				 message->data.len);
	return 0;
}

static uint64_t queue_size(const UnixSocket *m)
{
	uint64_t size = 0;

	for (size_t i = 0; i < m->n_queue; i++)
		size += m->queue[i]->data.len + 1024;
	return size;
}

/* What is needed to send datagrams to one socket. */
struct delivery {
	struct sockaddr_un address;
	socklen_t address_size;
	int file;
	bool has_address;
	int stand_in;
	const ProtobufCBinaryData *stand_in_name;
};

static void delivery_release(struct delivery *d)
{
	fd_close(&d->file);
	fd_close(&d->stand_in);
}

static bool has_name(const UnixSocket *m, const ProtobufCBinaryData *name)
{
	return m->name ? name && unix_same_name(&m->name->address, name) : !name;
}

/* The peer sends when the message may be its: it need not (and cannot) wait for room. */
static int put_datagram(struct restore_files *r, struct restore_file *f, struct delivery *d,
			const UnixSocket__Message *message, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct restore_file *peer = m->has_peer ? unix_by_inode(r, m->peer) : NULL;
	const ProtobufCBinaryData *name = message->has_sender ? &message->sender : NULL;
	struct unix_restore *data = unix_data(f, err);
	struct restore_file *sender;

	if (!data)
		return -1;
	if (peer && unix_message(peer)->peer == m->socket->inode &&
	    has_name(unix_message(peer), name)) {
		if (unix_connect_datagram(r, f, err) || unix_connect_datagram(r, peer, err) ||
		    socket_room_to_send(peer->fd, queue_size(m), err))
			return -1;
		return send_message(r, peer->fd, NULL, 0, message, err);
	}
	if (data->other_end >= 0 && !d->has_address && !m->name)
		return send_message(r, data->other_end, NULL, 0, message, err);
	if (!d->has_address &&
	    unix_reach(f->fd, &d->address, &d->address_size, &d->file, err))
		return -1;
	d->has_address = true;
	sender = name ? unix_by_name(r, SOCK_DGRAM, name) : NULL;
	if (sender) {
		if (socket_room_to_send(sender->fd, queue_size(m), err))
			return -1;
		return send_message(r, sender->fd, &d->address, d->address_size, message, err);
	}
	if (d->stand_in < 0 || d->stand_in_name != name) {
		fd_close(&d->stand_in);
		d->stand_in_name = name;
		d->stand_in = unix_stand_in(name, err);
		if (d->stand_in < 0 || socket_room_to_send(d->stand_in, queue_size(m), err))
			return -1;
	}
	return send_message(r, d->stand_in, &d->address, d->address_size, message, err);
}

static int put_datagrams(struct restore_files *r, struct restore_file *f, struct error *err)
{
	__attribute__((cleanup(delivery_release))) struct delivery d = { .file = -1,
									 .stand_in = -1 };
	const UnixSocket *m = unix_message(f);

	for (size_t i = 0; i < m->n_queue; i++)
		if (put_datagram(r, f, &d, m->queue[i], err))
			return -1;
	return unix_connect_datagram(r, f, err);
}

int unix_queue_put(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct unix_restore *data = unix_data(f, err);
	struct restore_file *peer;
	int fd;

	if (!data)
		return -1;
	if (m->socket->type == SOCK_DGRAM)
		return put_datagrams(r, f, err);
	if (!m->n_queue)
		return 0;
	peer = m->has_peer ? unix_by_inode(r, m->peer) : NULL;
	fd = peer ? peer->fd : data->other_end;
	if (fd < 0)
		return error_set(err, ERROR_IMAGE, 0, "data in an unconnected socket");
	if (socket_room_to_send(fd, queue_size(m), err))
		return -1;
	for (size_t i = 0; i < m->n_queue; i++)
		if (send_message(r, fd, NULL, 0, m->queue[i], err))
			return -1;
	return 0;
}
