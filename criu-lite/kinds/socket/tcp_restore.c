/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP sockets are made again. Both ends of a connection are made and filled before either is let go
 * of, as from then on they talk to each other. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/features.h"
#include "kinds/socket/tcp.h"

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

struct tcp_restore *tcp_restore_of(struct restore_file *f, struct error *err)
{
	const struct tcp_restore fresh = { .other_end = -1 };

	return restore_file_data(f, &fresh, sizeof(fresh), err);
}

int tcp_addresses(const struct restore_file *f, union inet_address *local,
		  union inet_address *remote, struct error *err)
{
	const TcpSocket *m = tcp_message(f);

	if (!m->local || !m->remote ||
	    (!m->connection && m->state != TCP_SOCKET__STATE__CONNECTING))
		return error_set(err, ERROR_IMAGE, 0, "a connection without addresses");
	return inet_address_load(m->local, m->socket->domain, local, err) ||
			       inet_address_load(m->remote, m->socket->domain, remote, err) ?
		       -1 :
		       0;
}

/* ---- leftovers of old connections ---- */

static void sweep_one(int diag, const union inet_address *local, const union inet_address *remote)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	struct inet_diag_msg found;
	struct inet_diag_sockid id;
	int family = inet_sockid(local, remote, &id);

	if (diag_inet(diag, family, IPPROTO_TCP, &id, &found, &ignored) <= 0 || found.idiag_inode ||
	    found.idiag_state == TCP_ESTABLISHED || found.idiag_state == TCP_CLOSE_WAIT ||
	    found.idiag_state == TCP_LISTEN)
		return;
	if (!feature_works("sock-destroy") ||
	    diag_inet_destroy(diag, family, IPPROTO_TCP, &id))
		log_info("an old connection in state %u cannot be removed: %s", found.idiag_state,
			 strerror(errno));
}

void tcp_sweep(int fd, const union inet_address *local, const union inet_address *remote)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_fd_ int diag = diag_open(fd, &ignored);

	if (diag < 0)
		return;
	sweep_one(diag, local, remote);
	sweep_one(diag, remote, local);
}

/* All of a port that nobody holds any more: they keep it from being bound. */
static void sweep_port(int fd, const union inet_address *local)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_fd_ int diag = diag_open(fd, &ignored);

	if (diag >= 0 && feature_works("sock-destroy"))
		diag_inet_destroy_waiting(diag, local->any.sa_family, IPPROTO_TCP,
					  htons(inet_port(local)));
}

/* ---- create ---- */

/* A socket like f's, opened by the same puppet. */
static int open_other_end(struct restore_files *r, struct restore_file *f, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int record;

	batch_start(&b, &f->opener->agent);
	record = batch_must(&b, SYS_socket, tcp_message(f)->socket->domain,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	if (restore_run(f->opener, &b, err))
		return -1;
	return restore_fetch(r, f->opener, batch_result(&b, record), err);
}

static int bind_to(struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	union inet_address local;
	char text[64];
	int failed;

	if (!m->local)
		return 0;
	if (inet_address_load(m->local, m->socket->domain, &local, err))
		return -1;
	failed = bind(f->fd, &local.any, inet_address_size(&local));
	if (failed && errno == EADDRINUSE) {
		sweep_port(f->fd, &local);
		failed = bind(f->fd, &local.any, inet_address_size(&local));
	}
	if (!failed)
		return 0;
	error_set(err, ERROR_FAILED, errno, "cannot bind a socket to %s", inet_text(&local, text));
	return error_hint(err, "see who has it: ss -tanp; a connection that has just ended "
			  "keeps its port for a minute");
}

/* The other end of a connection whose peer has gone: it has got all, and sends nothing. */
static int create_gone_peer(struct restore_files *r, struct restore_file *f,
			    struct tcp_restore *data, struct error *err)
{
	const TcpSocket__Connection *c = tcp_message(f)->connection;
	TcpSocket__Connection mirror = *c;
	union inet_address local, remote;

	mirror.send_sequence = c->receive_sequence;
	mirror.receive_sequence = c->send_sequence;
	mirror.send_queue.len = mirror.receive_queue.len = 0;
	mirror.send_scale = c->receive_scale;
	mirror.receive_scale = c->send_scale;
	mirror.window_snd_wl1 = mirror.window_rcv_wup = mirror.receive_sequence;
	mirror.window_snd_wnd = mirror.window_max = c->window_rcv_wnd;
	mirror.window_rcv_wnd = c->window_snd_wnd;
	if (tcp_addresses(f, &local, &remote, err))
		return -1;
	data->other_end = open_other_end(r, f, err);
	if (data->other_end < 0)
		return -1;
	return tcp_repair_connect(data->other_end, &remote, &local, &mirror, 0, err);
}

/* How much of the send queue is to be sent by us: what the peer has not got yet. */
static int unsent_of(struct restore_files *r, const struct restore_file *f, uint32_t *ret,
		     struct error *err)
{
	const TcpSocket__Connection *c = tcp_message(f)->connection;
	struct restore_file *peer;

	*ret = c->unsent;
	if (tcp_message(f)->state != TCP_SOCKET__STATE__CONNECTED)
		return 0;
	peer = tcp_peer(r, f);
	if (!peer)
		return error_set(err, ERROR_IMAGE, 0, "its peer is not in the image");
	*ret = c->send_sequence - tcp_message(peer)->connection->receive_sequence;
	if (*ret > c->send_queue.len)
		return error_set(err, ERROR_IMAGE, 0, "the two ends of a connection do not fit");
	return 0;
}

static int create_connected(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	struct tcp_restore *data = tcp_restore_of(f, err);
	union inet_address local, remote;
	uint32_t unsent;

	if (!data || tcp_addresses(f, &local, &remote, err) || unsent_of(r, f, &unsent, err) ||
	    socket_common_create(r, f, m->socket, err) ||
	    tcp_repair_connect(f->fd, &local, &remote, m->connection, unsent, err))
		return -1;
	data->repaired = true;
	if (m->state == TCP_SOCKET__STATE__PEER_GONE)
		return create_gone_peer(r, f, data, err);
	return 0;
}

/* A connection to ourselves that has come to its end. */
static int create_finished(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	struct tcp_restore *data = tcp_restore_of(f, err);
	TcpSocket__Connection c = TCP_SOCKET__CONNECTION__INIT, mirror;
	union inet_address ours = { .any.sa_family = m->socket->domain }, theirs;

	if (!data || socket_common_create(r, f, m->socket, err))
		return -1;
	if (m->local && inet_address_load(m->local, m->socket->domain, &ours, err))
		return -1;
	if (ours.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&ours.v6.sin6_addr))
		ours.v6.sin6_addr = in6addr_loopback;
	else if (ours.any.sa_family == AF_INET && !ours.v4.sin_addr.s_addr)
		ours.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	theirs = ours;
	*(ours.any.sa_family == AF_INET ? &theirs.v4.sin_port : &theirs.v6.sin6_port) = 0;
	data->other_end = open_other_end(r, f, err);
	if (data->other_end < 0)
		return -1;
	if (bind(data->other_end, &theirs.any, inet_address_size(&theirs)) ||
	    inet_local(data->other_end, &theirs))
		return error_set(err, ERROR_FAILED, errno, "cannot bind a socket");
	c.mss = 1400;
	c.send_sequence = c.receive_sequence = 1000;
	c.window_snd_wnd = c.window_rcv_wnd = c.window_max = 65535;
	c.window_snd_wl1 = c.window_rcv_wup = 1000;
	mirror = c;
	c.receive_queue = m->leftover;
	c.receive_sequence += m->leftover.len;
	c.window_rcv_wup = c.receive_sequence;
	mirror.send_sequence = c.receive_sequence;
	if (tcp_repair_connect(f->fd, &ours, &theirs, &c, 0, err) || inet_local(f->fd, &ours) ||
	    tcp_repair_connect(data->other_end, &theirs, &ours, &mirror, 0, err))
		return error_set(err, ERROR_FAILED, errno, "cannot make a finished connection");
	data->repaired = true;
	return 0;
}

int tcp_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	const SocketCommon *s = m->socket;
	bool fine = (s->domain == AF_INET || s->domain == AF_INET6) && s->type == SOCK_STREAM &&
		    s->protocol == IPPROTO_TCP;

	if (socket_common_expect(f, s, fine, err))
		return -1;
	if (tcp_is_outside(f))
		return tcp_outside_create(r, f, err);
	if (m->state == TCP_SOCKET__STATE__CONNECTED || m->state == TCP_SOCKET__STATE__PEER_GONE)
		return create_connected(r, f, err);
	if (m->state == TCP_SOCKET__STATE__FINISHED)
		return create_finished(r, f, err);
	if (socket_common_create(r, f, s, err))
		return -1;
	/* Connections that were accepted are bound to the same port. */
	if (set_int(f->fd, SOL_SOCKET, SO_REUSEADDR, 1))
		return error_set(err, ERROR_FAILED, errno, "SO_REUSEADDR");
	return bind_to(f, err);
}

/* ---- connect ---- */

/* A true handshake, which takes no time inside one machine. */
static int connect_waiting(struct restore_file *client, struct error *err)
{
	struct pollfd poller = { .fd = client->fd, .events = POLLOUT };
	union inet_address local, remote;
	char text[64];
	int failed;

	if (tcp_addresses(client, &local, &remote, err))
		return -1;
	tcp_sweep(client->fd, &local, &remote);
	failed = connect(client->fd, &remote.any, inet_address_size(&remote));
	if (failed && errno == EINPROGRESS && poll(&poller, 1, 2000) == 1)
		failed = connect(client->fd, &remote.any, inet_address_size(&remote));
	if (failed)
		return error_set(err, ERROR_FAILED, errno,
				 "description %u: cannot connect it to %s", client->id,
				 inet_text(&remote, text));
	return 0;
}

int tcp_connect(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	union inet_address local;
	int failed;

	if (m->state != TCP_SOCKET__STATE__LISTENING)
		return 0;
	failed = listen(f->fd, m->backlog);
	if (failed && errno == EADDRINUSE && !inet_local(f->fd, &local)) {
		sweep_port(f->fd, &local);
		failed = listen(f->fd, m->backlog);
	}
	if (failed)
		return error_set(err, ERROR_FAILED, errno, "cannot listen");
	for (size_t i = 0; i < m->n_pending; i++) {
		struct restore_file *client = tcp_by_inode(r, m->pending[i]);

		if (!client || tcp_message(client)->state != TCP_SOCKET__STATE__PENDING)
			return error_set(err, ERROR_IMAGE, 0,
					 "no socket with inode %ju waits for it",
					 (uintmax_t)m->pending[i]);
		if (connect_waiting(client, err))
			return -1;
	}
	return 0;
}

/* ---- the end ---- */

/* Lets a connection go; both ends tell each other where they are. */
static int let_go(int fd, struct error *err)
{
	if (set_int(fd, SOL_TCP, TCP_REPAIR, 0) || set_int(fd, SOL_TCP, TCP_MAXSEG, 0))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR");
	return 0;
}

int tcp_room_as_saved(const struct restore_file *f, struct error *err)
{
	int room = socket_option_saved(tcp_message(f)->socket, SOL_SOCKET, SO_RCVBUF, 0);

	/* The kernel doubles the size. */
	if (room > 0 && set_int(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, room / 2))
		return error_set(err, ERROR_FAILED, errno, "SO_RCVBUFFORCE");
	return 0;
}

static int let_file_go(struct restore_file *f, struct error *err)
{
	struct tcp_restore *data = f->data;

	if (!data || !data->repaired)
		return 0;
	data->repaired = false;
	return tcp_room_as_saved(f, err) || let_go(f->fd, err) ? -1 : 0;
}

int tcp_send_unsent(const struct restore_file *f, uint32_t left, struct error *err)
{
	const TcpSocket__Connection *c = tcp_message(f)->connection;
	const uint8_t *data = c->send_queue.data + c->send_queue.len - left;

	while (left) {
		ssize_t n = send(f->fd, data, left, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return error_set(err, ERROR_FAILED, errno,
					 "cannot send what was not sent yet");
		data += n;
		left -= n;
	}
	return 0;
}

static int finish_connection(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	struct tcp_restore *data = tcp_restore_of(f, err);
	struct restore_file *peer = tcp_peer(r, f);
	int cork = socket_option_saved(m->socket, SOL_TCP, TCP_CORK, 0);
	uint32_t left;

	if (!data || let_file_go(f, err) || (peer && let_file_go(peer, err)) ||
	    (data->other_end >= 0 && let_go(data->other_end, err)))
		return -1;
	if (cork && set_int(f->fd, SOL_TCP, TCP_CORK, cork))
		return error_set(err, ERROR_FAILED, errno, "TCP_CORK");
	if (unsent_of(r, f, &left, err) || tcp_send_unsent(f, left, err))
		return -1;
	fd_close(&data->other_end);
	if ((tcp_fin_sent(m->connection->tcp_state) && shutdown(f->fd, SHUT_WR)) ||
	    (m->reads_no_more && shutdown(f->fd, SHUT_RD)))
		return error_set(err, ERROR_FAILED, errno, "shutdown");
	return 0;
}

static int finish_finished(struct restore_file *f, struct error *err)
{
	const struct linger at_once = { .l_onoff = 1 };
	struct tcp_restore *data = tcp_restore_of(f, err);

	if (!data || let_file_go(f, err) || let_go(data->other_end, err))
		return -1;
	if (tcp_message(f)->reset &&
	    setsockopt(data->other_end, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
		return error_set(err, ERROR_FAILED, errno, "SO_LINGER");
	fd_close(&data->other_end);
	if (!tcp_message(f)->reset && shutdown(f->fd, SHUT_WR))
		return error_set(err, ERROR_FAILED, errno, "shutdown");
	return 0;
}

int tcp_finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	int failed = 0;

	if (tcp_is_outside(f))
		return tcp_outside_finish(r, f, err);
	if (m->state == TCP_SOCKET__STATE__CONNECTED || m->state == TCP_SOCKET__STATE__PEER_GONE)
		failed = finish_connection(r, f, err);
	else if (m->state == TCP_SOCKET__STATE__FINISHED)
		failed = finish_finished(f, err);
	else if (m->state == TCP_SOCKET__STATE__PENDING && m->connection &&
		 tcp_fin_sent(m->connection->tcp_state) && shutdown(f->fd, SHUT_WR))
		failed = error_set(err, ERROR_FAILED, errno, "shutdown");
	if (failed || set_int(f->fd, SOL_SOCKET, SO_REUSEADDR,
			      socket_option_saved(m->socket, SOL_SOCKET, SO_REUSEADDR, 0)))
		return error_set(err, ERROR_FAILED, errno, "SO_REUSEADDR");
	return socket_common_finish(f, m->socket, err);
}

int tcp_let_go(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return tcp_is_outside(f) ? tcp_outside_let_go(r, f, err) : 0;
}

int tcp_wake(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return tcp_is_outside(f) ? tcp_outside_wake(f, err) : 0;
}
