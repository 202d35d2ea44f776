/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What repair mode shows of a connection, and how one is made by it. */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "guard/guard.h"
#include "kinds/frozen.h"
#include "kinds/socket/tcp.h"

enum {
	REPAIR_ON = 1,
	REPAIR_OFF = 0,		/* with a probe, from which both ends learn where the other is */
	REPAIR_OFF_SILENT = -1,
	TRIES = 50,		/* for both ends to be at rest, a millisecond each */
	MSS_MAX = 32767,	/* that TCP_MAXSEG takes */
	MSS_MIN = 88,
	CHUNK = 64 << 10,
	ROOM = 16 << 20,
	QUEUE_MAX = 7 << 20,	/* of each direction, so that the message fits into a record */
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int get_u32(int fd, int name, uint32_t *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_TCP, name, ret, &size);
}

int tcp_repair_begin(struct tcp_repair *r, int fd, struct guard *guard, struct error *err)
{
	socklen_t size = sizeof(r->reuse), peek_size = sizeof(r->peek_offset);
	struct guard_socket told;

	r->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &r->peek_offset, &peek_size))
		r->peek_offset = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &r->reuse, &size))
		return error_set(err, ERROR_TARGET, errno, "SO_REUSEADDR");
	told = (struct guard_socket){ fd, r->reuse, r->peek_offset };
	if (guard_keep_socket(guard, &told, err))
		return -1;
	if (set_int(fd, SOL_TCP, TCP_REPAIR, REPAIR_ON))
		return error_set(err, ERROR_TARGET, errno, "TCP_REPAIR");
	r->on = true;
	if (r->peek_offset >= 0)
		set_int(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
	return 0;
}

int tcp_repair_end(struct tcp_repair *r)
{
	if (!r->on)
		return 0;
	r->on = false;
	if (r->peek_offset >= 0)
		set_int(r->fd, SOL_SOCKET, SO_PEEK_OFF, r->peek_offset);
	if (set_int(r->fd, SOL_TCP, TCP_REPAIR, REPAIR_OFF_SILENT))
		return -1;
	return set_int(r->fd, SOL_SOCKET, SO_REUSEADDR, r->reuse);
}

int tcp_repair_set(int fd, enum tcp_repair_mode mode)
{
	static const int values[] = {
		[TCP_REPAIRED] = REPAIR_ON,
		[TCP_REPAIR_ENDS] = REPAIR_OFF,
		[TCP_REPAIR_ENDS_SILENTLY] = REPAIR_OFF_SILENT,
	};

	return set_int(fd, SOL_TCP, TCP_REPAIR, values[mode]);
}

int tcp_queue_select(int fd, enum tcp_queue queue)
{
	return set_int(fd, SOL_TCP, TCP_REPAIR_QUEUE, queue);
}

bool tcp_fin_sent(uint32_t tcp_state)
{
	return tcp_state == TCP_FIN_WAIT1 || tcp_state == TCP_FIN_WAIT2 ||
	       tcp_state == TCP_CLOSING || tcp_state == TCP_LAST_ACK || tcp_state == TCP_TIME_WAIT;
}

bool tcp_fin_received(uint32_t tcp_state)
{
	return tcp_state == TCP_CLOSE_WAIT || tcp_state == TCP_CLOSING ||
	       tcp_state == TCP_LAST_ACK || tcp_state == TCP_TIME_WAIT;
}

/* ---- dump ---- */

/* Where the ends of the queues are; when none of it changes, no data has moved. */
struct position {
	uint32_t written, received;
	int unacknowledged, unread, state;
};

static int position_of(int fd, struct position *ret)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	memset(ret, 0, sizeof(*ret));
	if (tcp_queue_select(fd, TCP_QUEUE_SEND) || get_u32(fd, TCP_QUEUE_SEQ, &ret->written) ||
	    tcp_queue_select(fd, TCP_QUEUE_RECEIVE) || get_u32(fd, TCP_QUEUE_SEQ, &ret->received) ||
	    ioctl(fd, SIOCOUTQ, &ret->unacknowledged) || ioctl(fd, SIOCINQ, &ret->unread) ||
	    getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size))
		return -1;
	ret->state = info.tcpi_state;
	return 0;
}

/* Fails with EAGAIN when there is less than that any more. */
static int take_queue(int fd, enum tcp_queue queue, size_t size, ProtobufCBinaryData *ret)
{
	ssize_t n;

	free(ret->data);
	ret->len = 0;
	ret->data = malloc(size + 1);
	if (!ret->data || tcp_queue_select(fd, queue))
		return -1;
	n = size ? recv(fd, ret->data, size, MSG_PEEK | MSG_DONTWAIT) : 0;
	if (n < 0)
		return -1;
	ret->len = n;
	errno = EAGAIN;
	return ret->len == size ? 0 : -1;
}

static int take_parameters(int fd, TcpSocket__Connection *c)
{
	struct tcp_repair_window window;
	struct tcp_info info;
	socklen_t size = sizeof(info), window_size = sizeof(window);

	if (getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size) ||
	    getsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &window, &window_size) ||
	    get_u32(fd, TCP_MAXSEG, &c->mss) || get_u32(fd, TCP_TIMESTAMP, &c->timestamp) ||
	    get_u32(fd, TCP_WINDOW_CLAMP, &c->window_clamp))
		return -1;
	c->tcp_state = info.tcpi_state;
	c->options = info.tcpi_options;
	c->send_scale = info.tcpi_snd_wscale;
	c->receive_scale = info.tcpi_rcv_wscale;
	c->has_timestamp = info.tcpi_options & TCPI_OPT_TIMESTAMPS;
	c->has_window_clamp = true;
	c->window_snd_wl1 = window.snd_wl1;
	c->window_snd_wnd = window.snd_wnd;
	c->window_max = window.max_window;
	c->window_rcv_wnd = window.rcv_wnd;
	c->window_rcv_wup = window.rcv_wup;
	return 0;
}

/* Everything of one end, whose position is known. */
static int take_end(int fd, const struct position *at, TcpSocket__Connection *c)
{
	bool sent = tcp_fin_sent(at->state), received = tcp_fin_received(at->state);
	int unsent, data = at->unacknowledged;

	if (take_parameters(fd, c) || ioctl(fd, SIOCOUTQNSD, &unsent))
		return -1;
	/* A FIN that is not acknowledged counts as a byte. */
	if (sent && data)
		data--;
	if (sent && unsent)
		unsent--;
	if (data > QUEUE_MAX || at->unread > QUEUE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	c->send_sequence = at->written - sent;
	c->receive_sequence = at->received - received;
	c->unsent = unsent;
	return take_queue(fd, TCP_QUEUE_RECEIVE, at->unread, &c->receive_queue) ||
			       take_queue(fd, TCP_QUEUE_SEND, data, &c->send_queue) ?
		       -1 :
		       0;
}

/* Whether what one end has received is what the other one has sent, or a part of it. */
static bool fits(const TcpSocket__Connection *from, const TcpSocket__Connection *to)
{
	uint32_t ahead = from->send_sequence - to->receive_sequence;

	return ahead <= from->send_queue.len;
}

/* Both ends once; 1 when something has moved meanwhile. */
static int try_snapshot(int fd, TcpSocket__Connection *c, int peer_fd, TcpSocket__Connection *peer,
			struct error *err)
{
	struct position a, b, a_after, b_after;

	if (position_of(fd, &a) || (peer && position_of(peer_fd, &b)) || take_end(fd, &a, c) ||
	    (peer && take_end(peer_fd, &b, peer)) || position_of(fd, &a_after) ||
	    (peer && position_of(peer_fd, &b_after))) {
		if (errno == EAGAIN)
			return 1;
		if (errno == EMSGSIZE) {
			error_set(err, ERROR_BLOCKED, 0,
				  "more than %d MiB wait in a TCP connection", QUEUE_MAX >> 20);
			return error_hint(err, "try again when the program has read it");
		}
		return error_set(err, ERROR_TARGET, errno,
				 "cannot read the state of a TCP connection");
	}
	if (memcmp(&a, &a_after, sizeof(a)))
		return 1;
	return peer && (memcmp(&b, &b_after, sizeof(b)) || !fits(c, peer) || !fits(peer, c));
}

static int snapshot_in_repair(struct guard *guard, int fd, TcpSocket__Connection *c, int peer_fd,
			      TcpSocket__Connection *peer, struct error *err)
{
	_cleanup_repair_ struct tcp_repair here = { 0 }, there = { 0 };
	int moved = 1;

	if (tcp_repair_begin(&here, fd, guard, err) ||
	    (peer && tcp_repair_begin(&there, peer_fd, guard, err)))
		return -1;
	for (int i = 0; moved == 1 && i < TRIES; i++) {
		if (i)
			usleep(1000);
		moved = try_snapshot(fd, c, peer_fd, peer, err);
	}
	if (tcp_repair_end(&here) || tcp_repair_end(&there))
		return error_set(err, ERROR_TARGET, errno, "TCP_REPAIR");
	if (moved == 1)
		return error_set(err, ERROR_TARGET, 0, "a TCP connection does not come to rest");
	return moved;
}

/* If we die meanwhile, the program shall not use a socket in repair mode before the guard has ended
 * it. */
int tcp_snapshot(struct dump *d, int fd, TcpSocket__Connection *c, int peer_fd,
		 TcpSocket__Connection *peer, struct error *err)
{
	_cleanup_error_ struct error later = ERROR_INIT;
	int r;

	if (frozen_stay(d, err))
		return -1;
	r = snapshot_in_repair(d->guard, fd, c, peer_fd, peer, err);
	return frozen_stay_no_more(d, r ? &later : err) || r ? -1 : 0;
}

int tcp_first_sequence(struct dump *d, int fd, uint32_t *ret, struct error *err)
{
	_cleanup_error_ struct error later = ERROR_INIT;
	struct tcp_repair repair = { 0 };
	uint32_t next = 0;
	int failed;

	if (frozen_stay(d, err))
		return -1;
	failed = tcp_repair_begin(&repair, fd, d->guard, err);
	if (!failed && (tcp_queue_select(fd, TCP_QUEUE_SEND) ||
			get_u32(fd, TCP_QUEUE_SEQ, &next) || tcp_repair_end(&repair)))
		failed = error_set(err, ERROR_TARGET, errno, "TCP_QUEUE_SEQ");
	tcp_repair_end(&repair);
	*ret = next - 1;
	return frozen_stay_no_more(d, failed ? &later : err) || failed ? -1 : 0;
}

/* ---- restore ---- */

static int set_sequence(int fd, enum tcp_queue queue, uint32_t sequence)
{
	return tcp_queue_select(fd, queue) ||
	       setsockopt(fd, SOL_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence));
}

static int prepare(int fd, const TcpSocket__Connection *c, struct error *err)
{
	uint32_t mss = c->mss > MSS_MAX ? MSS_MAX : c->mss < MSS_MIN ? MSS_MIN : c->mss;

	if (set_int(fd, SOL_TCP, TCP_REPAIR, REPAIR_ON) || set_int(fd, SOL_TCP, TCP_MAXSEG, mss) ||
	    set_sequence(fd, TCP_QUEUE_RECEIVE, c->receive_sequence - c->receive_queue.len) ||
	    set_sequence(fd, TCP_QUEUE_SEND, c->send_sequence - c->send_queue.len))
		return error_set(err, ERROR_FAILED, errno, "cannot prepare a TCP connection");
	return 0;
}

/* Scales and such, which a handshake would have settled. */
static int negotiate(int fd, const TcpSocket__Connection *c, struct error *err)
{
	struct tcp_repair_opt options[4];
	size_t count = 0;

	if (c->options & TCPI_OPT_WSCALE)
		options[count++] = (struct tcp_repair_opt){
			TCPOPT_WINDOW, (c->send_scale & 15) | (c->receive_scale & 15) << 16
		};
	if (c->options & TCPI_OPT_SACK)
		options[count++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERMITTED, 0 };
	if (c->options & TCPI_OPT_TIMESTAMPS)
		options[count++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	options[count++] = (struct tcp_repair_opt){ TCPOPT_MAXSEG, c->mss };
	if (setsockopt(fd, SOL_TCP, TCP_REPAIR_OPTIONS, options, count * sizeof(options[0])) ||
	    (c->has_timestamp && set_int(fd, SOL_TCP, TCP_TIMESTAMP, c->timestamp)))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot set the options of a TCP connection");
	return 0;
}

/* Room for all that waited. Not before connect(), which derives the window from it. */
static int make_room(int fd, struct error *err)
{
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, ROOM) ||
	    set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, ROOM))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot make room for the queues of a TCP connection");
	return 0;
}

static int refill(int fd, enum tcp_queue queue, const uint8_t *data, size_t size,
		  struct error *err)
{
	size_t chunk = CHUNK;

	if (tcp_queue_select(fd, queue))
		return error_set(err, ERROR_FAILED, errno, "TCP_REPAIR_QUEUE");
	while (size) {
		ssize_t n = send(fd, data, size < chunk ? size : chunk, MSG_DONTWAIT);

		if (n < 0 && chunk > 1024) {
			chunk /= 2;
			continue;
		}
		if (n < 0)
			return error_set(err, ERROR_FAILED, errno,
					 "cannot refill the queues of a TCP connection");
		data += n;
		size -= n;
	}
	return 0;
}

int tcp_set_window(int fd, const TcpSocket__Connection *c, bool fin, struct error *err)
{
	struct tcp_repair_window window = {
		.snd_wl1 = c->window_snd_wl1,
		.snd_wnd = c->window_snd_wnd,
		.max_window = c->window_max,
		.rcv_wnd = c->window_rcv_wnd,
		.rcv_wup = c->window_rcv_wup,
	};

	/* A FIN that comes once more must not have been seen yet. */
	if (!fin && (int32_t)(window.rcv_wup - c->receive_sequence) > 0)
		window.rcv_wup = c->receive_sequence;
	if (setsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window)))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot set the window of a TCP connection");
	return 0;
}

int tcp_bind(int fd, const union inet_address *local, struct error *err)
{
	char text[64];
	int cause;

	if (!bind(fd, &local->any, inet_address_size(local)))
		return 0;
	cause = errno;
	error_set(err, ERROR_FAILED, cause, "cannot bind a socket to %s", inet_text(local, text));
	if (cause == EADDRNOTAVAIL)
		return error_hint(err, "give this machine the address, or save the program without "
				  "its connections: checkpoint --tcp close");
	return -1;
}

int tcp_repair_connect(int fd, const union inet_address *local, const union inet_address *remote,
		       const TcpSocket__Connection *c, uint32_t unsent, struct error *err)
{
	union inet_address bound;
	char text[64];
	int failed;

	if (unsent > c->send_queue.len)
		return error_set(err, ERROR_IMAGE, 0, "%u bytes unsent of %zu", unsent,
				 c->send_queue.len);
	if (prepare(fd, c, err))
		return -1;
	if (inet_local(fd, &bound))
		return error_set(err, ERROR_FAILED, errno, "getsockname");
	if (!inet_port(&bound) && tcp_bind(fd, local, err))
		return -1;
	failed = connect(fd, &remote->any, inet_address_size(remote));
	if (failed && (errno == EADDRNOTAVAIL || errno == EADDRINUSE)) {
		tcp_sweep(fd, local, remote);
		failed = connect(fd, &remote->any, inet_address_size(remote));
	}
	if (failed)
		return error_set(err, ERROR_FAILED, errno, "cannot connect a socket to %s",
				 inet_text(remote, text));
	if (negotiate(fd, c, err) || make_room(fd, err) ||
	    refill(fd, TCP_QUEUE_RECEIVE, c->receive_queue.data, c->receive_queue.len, err) ||
	    refill(fd, TCP_QUEUE_SEND, c->send_queue.data, c->send_queue.len - unsent, err))
		return -1;
	return tcp_set_window(fd, c, false, err);
}
