/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP sockets, tcp(7): what is saved of them. A connection inside of the tree is saved with
 * both of its ends; how it is read and made again is in tcp_repair.c, the rest of a restore in
 * tcp_restore.c and tcp_outside.c.
 */
#include "kinds/socket/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"

static const int levels[] = { SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_TCP, -1 };

/* The kernel's own refusals, which preflight could not foresee. */
static int refuse(struct dump_file *f, const char *what, struct error *err)
{
	error_set(err, ERROR_BLOCKED, 0, "%s: %s", dump_file_name(f), what);
	return error_hint(err, "try again in a moment");
}

static int dump_addresses(int fd, TcpSocket *m, struct error *err)
{
	union inet_address local, remote;

	if (inet_local(fd, &local) || inet_remote(fd, &remote))
		return error_set(err, ERROR_TARGET, errno, "cannot read the addresses of a socket");
	return inet_address_save(&local, &m->local, err) ||
			       inet_address_save(&remote, &m->remote, err) ?
		       -1 :
		       0;
}

/* A client of the tree that waits for this listener. */
static bool waits_for(struct dump_files *d, struct dump_file *client,
		      const union inet_address *listener, struct tcp_other *other)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	union inet_address remote;
	int fd = tcp_recognise(&client->look) ? dump_file_fd(d, client, &ignored) : -1;

	return fd >= 0 && !inet_remote(fd, &remote) && inet_port(&remote) == inet_port(listener) &&
	       !tcp_find_other(fd, other, &ignored) && other->what == TCP_OTHER_WAITS;
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* That may pass, if no more of them come. */
static int refuse_strangers(struct dump_files *d, struct dump_file *f,
			    const union inet_address *local, struct error *err)
{
	uint16_t *port = array_add(&dump_files_run(d)->awaited.ports);

	if (!port)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	*port = htons(inet_port(local));
	error_set(err, ERROR_BLOCKED, 0,
		  "%s: connections from outside of the tree wait to be accepted",
		  dump_file_name(f));
	return error_hint(err, "try again in a moment, or have them reset: --tcp close");
}

/* Who waits for a listener has a descriptor in the tree, and has sent nothing yet: what was sent
 * can be read by nobody before it is accepted. */
static int dump_waiting(struct dump_files *d, struct dump_file *f, int fd,
			const struct tcp_info *info, TcpSocket *m, struct error *err)
{
	union inet_address local;
	struct dump_file *client;
	struct tcp_other other;

	/* Of a listener these are the limit of its queue, and how many wait in it. */
	m->has_backlog = true;
	m->backlog = info->tcpi_sacked;
	if (!info->tcpi_unacked)
		return 0;
	if (inet_local(fd, &local))
		return error_set(err, ERROR_TARGET, errno, "getsockname");
	for (size_t i = 0; (client = dump_files_at(d, i)); i++) {
		uint64_t *slot;

		if (!waits_for(d, client, &local, &other))
			continue;
		if (other.unread)
			return refuse(f, "a connection that nobody has accepted yet holds data",
				      err);
		slot = socket_repeated(&m->pending, &m->n_pending, sizeof(*slot));
		if (!slot)
			return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
		*slot = client->look.st.st_ino;
	}
	if (m->n_pending != info->tcpi_unacked && !dump_files_run(d)->closes_connections)
		return refuse_strangers(d, f, &local, err);
	/* Those who connected first opened their sockets first. */
	qsort(m->pending, m->n_pending, sizeof(m->pending[0]), compare_inodes);
	return 0;
}

/* What can still be read of a connection that has come to its end. */
static int dump_leftover(struct dump_file *f, int fd, TcpSocket *m, struct error *err)
{
	int unread;

	if (ioctl(fd, SIOCINQ, &unread))
		return error_set(err, ERROR_TARGET, errno, "%s", dump_file_name(f));
	/* Looking at an empty queue would take the error away. */
	if (unread <= 0)
		return 0;
	m->has_leftover = true;
	m->leftover.data = malloc(unread);
	if (!m->leftover.data)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	m->leftover.len = unread;
	if (recv(fd, m->leftover.data, unread, MSG_PEEK | MSG_DONTWAIT) != unread)
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read what is left in it",
				 dump_file_name(f));
	return 0;
}

/* A socket that is not connected, or not any more: then it has seen the end of the stream. */
static int dump_closed(struct dump_file *f, int fd, TcpSocket *m, struct error *err)
{
	struct pollfd poller = { .fd = fd, .events = POLLRDHUP };

	if (poll(&poller, 1, 0) < 0)
		return error_set(err, ERROR_TARGET, errno, "%s", dump_file_name(f));
	if (!(poller.revents & POLLRDHUP))
		return 0;
	m->state = TCP_SOCKET__STATE__FINISHED;
	m->has_reset = m->reset = (poller.revents & POLLERR) != 0;
	return dump_leftover(f, fd, m, err);
}

static TcpSocket__Connection *connection_new(void)
{
	TcpSocket__Connection *c = malloc(sizeof(*c));

	if (c)
		tcp_socket__connection__init(c);
	return c;
}

static int dump_conditions(struct dump_file *f, int fd, TcpSocket *m, struct error *err)
{
	struct pollfd poller = { .fd = fd, .events = POLLRDHUP | POLLPRI };

	if (poll(&poller, 1, 0) < 0)
		return error_set(err, ERROR_TARGET, errno, "%s", dump_file_name(f));
	if (poller.revents & POLLPRI)
		return refuse(f, "urgent data waits in it", err);
	m->has_reads_no_more = m->reads_no_more = (poller.revents & POLLRDHUP) &&
						  !tcp_fin_received(m->connection->tcp_state);
	return 0;
}

/* Everything but the connection. */
static TcpSocket *message_new(struct dump_files *d, struct dump_file *f, struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	TcpSocket *m = fd < 0 ? NULL : malloc(sizeof(*m));

	if (!m) {
		error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
		return NULL;
	}
	tcp_socket__init(m);
	m->id = f->id;
	m->common = socket_file_common(d, f, err);
	if (m->common && !socket_common_dump(d, f, levels, &m->socket, err) &&
	    !dump_addresses(fd, m, err))
		return m;
	tcp_socket__free_unpacked(m, NULL);
	return NULL;
}

static void message_free(TcpSocket **m)
{
	if (*m)
		tcp_socket__free_unpacked(*m, NULL);
}
#define _cleanup_message_ __attribute__((cleanup(message_free)))

/* Writes both messages: their state must be of the same moment. */
static int dump_pair(struct dump_files *d, struct dump_file *f, TcpSocket *m,
		     struct dump_file *peer, struct error *err)
{
	_cleanup_message_ TcpSocket *other = message_new(d, peer, err);
	int fd = dump_file_fd(d, f, err), peer_fd = dump_file_fd(d, peer, err);

	if (!other || fd < 0 || peer_fd < 0)
		return -1;
	peer->kind = f->kind;
	m->state = other->state = TCP_SOCKET__STATE__CONNECTED;
	m->connection = connection_new();
	other->connection = connection_new();
	if (!m->connection || !other->connection)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	if (tcp_snapshot(dump_files_run(d), fd, m->connection, peer_fd, other->connection, err))
		return error_wrap(err, "%s", dump_file_name(f));
	return dump_conditions(f, fd, m, err) || dump_conditions(peer, peer_fd, other, err) ||
			       dump_file_message(d, f, &m->base, err) ||
			       dump_file_message(d, peer, &other->base, err) ?
		       -1 :
		       0;
}

/* Of a connection whose other end is not ours to save. */
static int dump_one_end(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
			struct error *err)
{
	m->connection = connection_new();
	if (!m->connection)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	if (tcp_snapshot(dump_files_run(d), fd, m->connection, -1, NULL, err) ||
	    dump_conditions(f, fd, m, err))
		return error_wrap(err, "%s", dump_file_name(f));
	return 0;
}

/* Its peer is told nothing: packets are held off. */
static int dump_outside(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
			struct error *err)
{
	m->state = TCP_SOCKET__STATE__OUTSIDE;
	return dump_one_end(d, f, fd, m, err) || dump_file_message(d, f, &m->base, err) ? -1 : 0;
}

static int dump_connecting(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
			   struct error *err)
{
	struct tcp_other other;

	m->state = TCP_SOCKET__STATE__CONNECTING;
	m->has_first_sequence = true;
	if (tcp_find_other(fd, &other, err) || inet_address_save(&other.remote, &m->remote, err) ||
	    tcp_first_sequence(dump_files_run(d), fd, &m->first_sequence, err))
		return error_wrap(err, "%s", dump_file_name(f));
	return dump_file_message(d, f, &m->base, err);
}

/* After a restore it will find that its connection was reset. */
static int dump_reset(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
		      struct error *err)
{
	m->state = TCP_SOCKET__STATE__FINISHED;
	m->has_reset = m->reset = true;
	return dump_leftover(f, fd, m, err) || dump_file_message(d, f, &m->base, err) ? -1 : 0;
}

/* The other end is closed: all of ours must have arrived there. */
static int dump_orphan(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
		       struct error *err)
{
	m->state = TCP_SOCKET__STATE__PEER_GONE;
	if (dump_one_end(d, f, fd, m, err))
		return -1;
	if (!tcp_fin_received(m->connection->tcp_state) || m->connection->send_queue.len)
		return refuse(f, "its peer has vanished", err);
	return dump_file_message(d, f, &m->base, err);
}

static int dump_connected(struct dump_files *d, struct dump_file *f, int fd, TcpSocket *m,
			  struct error *err)
{
	struct dump_file *peer;
	struct tcp_other other;
	bool leaves;

	if (tcp_leaves(dump_files_tree(d), fd, &other, &leaves, err))
		return error_wrap(err, "%s", dump_file_name(f));
	if (leaves && dump_files_run(d)->closes_connections)
		return dump_reset(d, f, fd, m, err);
	if (leaves)
		return dump_outside(d, f, fd, m, err);
	switch (other.what) {
	case TCP_OTHER_SOCKET:
		peer = dump_files_by_inode(d, f->look.st.st_dev, other.inode, f);
		if (!peer)
			return refuse(f, "its peer has gone", err);
		/* The first one of the two has written both. */
		return peer->id < f->id ? 0 : dump_pair(d, f, m, peer, err);
	case TCP_OTHER_WAITS:
		m->state = TCP_SOCKET__STATE__PENDING;
		m->connection = connection_new();
		if (!m->connection ||
		    tcp_snapshot(dump_files_run(d), fd, m->connection, -1, NULL, err))
			return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
		if (m->connection->send_queue.len)
			return refuse(f, "nobody has accepted it yet, but it has sent data", err);
		return dump_file_message(d, f, &m->base, err);
	case TCP_OTHER_CLOSED:
		if (other.unsent > 1)
			return refuse(f, "its peer was closed and still has data to send", err);
		return dump_orphan(d, f, fd, m, err);
	case TCP_OTHER_GONE:
	case TCP_OTHER_REMOTE:
		break;
	}
	return dump_orphan(d, f, fd, m, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	_cleanup_message_ TcpSocket *m = message_new(d, f, err);
	int fd = dump_file_fd(d, f, err), failed = 0;
	struct tcp_info info;

	if (!m || fd < 0)
		return -1;
	if (tcp_info_of(fd, &info))
		return error_set(err, ERROR_TARGET, errno, "%s: TCP_INFO", dump_file_name(f));
	if (info.tcpi_state == TCP_SYN_RECV)
		return refuse(f, "its connection is half open", err);
	if (info.tcpi_state == TCP_SYN_SENT && dump_files_run(d)->closes_connections)
		return dump_reset(d, f, fd, m, err);
	if (info.tcpi_state == TCP_SYN_SENT)
		return dump_connecting(d, f, fd, m, err);
	if (tcp_is_connected(info.tcpi_state))
		return dump_connected(d, f, fd, m, err);
	if (info.tcpi_state == TCP_LISTEN) {
		m->state = TCP_SOCKET__STATE__LISTENING;
		failed = dump_waiting(d, f, fd, &info, m, err);
	} else {
		failed = dump_closed(f, fd, m, err);
	}
	return failed ? -1 : dump_file_message(d, f, &m->base, err);
}

/* Closed in repair mode, a connection vanishes; its addresses are free at once. One whose other end
 * is closed already ends as it would anyway: then the kernel forgets that end too. */
static int silence(struct dump_files *d, struct dump_file *f, struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	struct dump *run = dump_files_run(d);
	struct tcp_repair repair;
	struct tcp_other other;
	int failed = 0;
	bool leaves;

	if (fd < 0)
		return -1;
	other.what = TCP_OTHER_GONE;
	if (tcp_leaves(dump_files_tree(d), fd, &other, &leaves, err))
		failed = -1;
	else if (other.what != TCP_OTHER_CLOSED && other.what != TCP_OTHER_GONE &&
		 !(leaves && run->closes_connections))
		failed = tcp_repair_begin(&repair, fd, run->guard, err);
	/* The tree holds it until its end. */
	if (f->task)
		fd_close(&f->fd);
	return failed;
}

static const struct file_ops tcp_socket_file = {
	.recognise = tcp_recognise,
	.check = tcp_check,
	.check_tree = tcp_check_tree,
	.dump = dump,
	.silence = silence,
	.create = tcp_create,
	.connect = tcp_connect,
	.link = tcp_finish,
	.let_go = tcp_let_go,
	.wake = tcp_wake,
};

const struct kind tcp_socket_kind = {
	.name = "tcp_socket",
	.record = 0x141,
	.scope = KIND_FILE,
	.message = &tcp_socket__descriptor,
	.help = "TCP: listeners, connections inside the tree and out of it with both queues",
	.file = &tcp_socket_file,
};
