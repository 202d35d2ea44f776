/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections whose other end is not in the image are made again. The packet lock is on meanwhile:
 * nothing that is sent here gets out, and the kernel keeps it as not sent yet. They stay in repair
 * mode until the tree is about to run: if we die, they vanish without a word, and the peer can be
 * served from elsewhere or once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/socket/tcp.h"

enum { FIN_WINDOW = 1024 };

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

bool tcp_is_outside(const struct restore_file *f)
{
	return tcp_message(f)->state == TCP_SOCKET__STATE__OUTSIDE ||
	       tcp_message(f)->state == TCP_SOCKET__STATE__CONNECTING;
}

static bool is_connecting(const struct restore_file *f)
{
	return tcp_message(f)->state == TCP_SOCKET__STATE__CONNECTING;
}

/* ---- create ---- */

/* Its first packet is to be the same as before: the peer may have got that one. */
static int create_connecting(struct restore_file *f, const union inet_address *local,
			     struct error *err)
{
	const uint32_t first = tcp_message(f)->first_sequence;

	if (tcp_repair_set(f->fd, TCP_REPAIRED) || tcp_queue_select(f->fd, TCP_QUEUE_SEND) ||
	    setsockopt(f->fd, SOL_TCP, TCP_QUEUE_SEQ, &first, sizeof(first)))
		return error_set(err, ERROR_FAILED, errno, "cannot prepare a TCP connection");
	return tcp_bind(f->fd, local, err);
}

int tcp_outside_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	union inet_address local, remote;

	if (tcp_addresses(f, &local, &remote, err) ||
	    socket_common_create(r, f, m->socket, err))
		return -1;
	if (is_connecting(f))
		return create_connecting(f, &local, err);
	return tcp_repair_connect(f->fd, &local, &remote, m->connection, m->connection->unsent,
				  err);
}

/* ---- behind the lock ---- */

/* The peer has closed its direction. There must be a window for it, which the connection may not
 * have had any more. */
static int receive_fin(const struct restore_file *f, const union inet_address *local,
		       const union inet_address *remote, uint32_t mark, struct error *err)
{
	const TcpSocket__Connection *c = tcp_message(f)->connection;
	const struct tcp_segment segment = {
		.sequence = c->receive_sequence,
		.acknowledges = c->send_sequence - c->send_queue.len,
		.window = c->window_snd_wnd >> (c->send_scale & 15),
		.fin = true,
	};
	TcpSocket__Connection open = *c;

	open.window_rcv_wnd = open.window_rcv_wnd > FIN_WINDOW ? open.window_rcv_wnd : FIN_WINDOW;
	return tcp_set_window(f->fd, &open, false, err) ||
			       tcp_forge(f->fd, local, remote, &segment, mark, TCP_CLOSE_WAIT,
					 err) ||
			       tcp_set_window(f->fd, c, true, err) ?
		       -1 :
		       0;
}

/* We have closed ours, and the peer knows: in repair mode it counts as sent. */
static int close_acknowledged(const struct restore_file *f, const union inet_address *local,
			      const union inet_address *remote, uint32_t mark, struct error *err)
{
	const TcpSocket__Connection *c = tcp_message(f)->connection;
	const struct tcp_segment segment = {
		.sequence = c->receive_sequence,
		.acknowledges = c->send_sequence + 1,
		.window = c->window_snd_wnd >> (c->send_scale & 15),
	};

	if (tcp_queue_select(f->fd, TCP_QUEUE_SEND) || shutdown(f->fd, SHUT_WR) ||
	    tcp_queue_select(f->fd, TCP_QUEUE_NONE))
		return error_set(err, ERROR_FAILED, errno, "shutdown");
	return tcp_forge(f->fd, local, remote, &segment, mark, TCP_FIN_WAIT2, err);
}

/* What it learned from its peer beyond data. */
static int settle_state(struct restore_files *r, const struct restore_file *f, struct error *err)
{
	const uint32_t state = tcp_message(f)->connection->tcp_state;
	const uint32_t mark = restore_files_run(r)->lock.pass_mark;
	union inet_address local, remote;

	if (tcp_addresses(f, &local, &remote, err))
		return -1;
	if (tcp_fin_received(state))
		return receive_fin(f, &local, &remote, mark, err);
	if (state == TCP_FIN_WAIT2)
		return close_acknowledged(f, &local, &remote, mark, err);
	return 0;
}

/* What the program had written goes into the queue, and its end behind it; none of it gets out. */
static int queue_unsent(const struct restore_file *f, struct error *err)
{
	const TcpSocket *m = tcp_message(f);
	int cork = socket_option_saved(m->socket, SOL_TCP, TCP_CORK, 0);

	if (tcp_repair_set(f->fd, TCP_REPAIR_ENDS_SILENTLY) ||
	    set_int(f->fd, SOL_TCP, TCP_MAXSEG, 0) ||
	    (cork && set_int(f->fd, SOL_TCP, TCP_CORK, cork)))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR");
	if (tcp_send_unsent(f, m->connection->unsent, err))
		return -1;
	if ((tcp_fin_sent(m->connection->tcp_state) &&
	     m->connection->tcp_state != TCP_FIN_WAIT2 && shutdown(f->fd, SHUT_WR)) ||
	    (m->reads_no_more && shutdown(f->fd, SHUT_RD)))
		return error_set(err, ERROR_FAILED, errno, "shutdown");
	if (tcp_repair_set(f->fd, TCP_REPAIRED))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR");
	return 0;
}

int tcp_outside_finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	if (!is_connecting(f) && (settle_state(r, f, err) || tcp_room_as_saved(f, err) ||
				  queue_unsent(f, err)))
		return -1;
	return socket_common_finish(f, tcp_message(f)->socket, err);
}

/* ---- the end ---- */

/* The answer takes its time, and a program that waits for it waits on. */
static int go_on_connecting(struct restore_file *f, struct error *err)
{
	union inet_address local, remote;
	int flags = fcntl(f->fd, F_GETFL), failed;
	char text[64];

	if (tcp_addresses(f, &local, &remote, err))
		return -1;
	if (flags < 0 || fcntl(f->fd, F_SETFL, flags | O_NONBLOCK))
		return error_set(err, ERROR_FAILED, errno, "F_SETFL");
	failed = connect(f->fd, &remote.any, inet_address_size(&remote)) && errno != EINPROGRESS;
	/* Its program will be told. */
	if (failed)
		log_info("%s: cannot connect it to %s: %s", restore_file_name(f),
			 inet_text(&remote, text), strerror(errno));
	if (fcntl(f->fd, F_SETFL, flags))
		return error_set(err, ERROR_FAILED, errno, "F_SETFL");
	return 0;
}

static int saved_reuse(const struct restore_file *f)
{
	return socket_option_saved(tcp_message(f)->socket, SOL_SOCKET, SO_REUSEADDR, 0);
}

static int end_repair(const struct restore_file *f, enum tcp_repair_mode mode, struct error *err)
{
	if (tcp_repair_set(f->fd, mode) ||
	    set_int(f->fd, SOL_SOCKET, SO_REUSEADDR, saved_reuse(f)))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR");
	return 0;
}

/* The guard learns of it, as it will be in repair mode once more, for a moment. */
int tcp_outside_let_go(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const struct guard_socket told = { f->fd, saved_reuse(f), -1 };

	if (guard_keep_socket(restore_files_run(r)->guard, &told, err))
		return -1;
	return end_repair(f, TCP_REPAIR_ENDS_SILENTLY, err);
}

/* Leaving repair mode makes a probe: its answer tells what the peer has got. Taking the cork out
 * has the kernel send what waits. */
int tcp_outside_wake(struct restore_file *f, struct error *err)
{
	if (is_connecting(f))
		return go_on_connecting(f, err);
	if (tcp_message(f)->connection->tcp_state == TCP_ESTABLISHED &&
	    (tcp_repair_set(f->fd, TCP_REPAIRED) || end_repair(f, TCP_REPAIR_ENDS, err)))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR");
	if (!socket_option_saved(tcp_message(f)->socket, SOL_TCP, TCP_CORK, 0) &&
	    set_int(f->fd, SOL_TCP, TCP_CORK, 0))
		return error_set(err, ERROR_FAILED, errno, "TCP_CORK");
	return 0;
}
