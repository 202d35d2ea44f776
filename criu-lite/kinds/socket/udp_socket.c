/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP and UDP-Lite, udp(7), udplite(7). Whoever is at the other end, datagrams find it again. */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/udp_socket.pb-c.h"
#include "kinds/socket/datagram.h"

static const char *const protocols[] = { "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", NULL };
static const int levels[] = { SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_UDP, IPPROTO_UDPLITE, -1 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

/* ---- preflight and dump ---- */

static int check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	int encapsulates = 0;
	socklen_t size = sizeof(encapsulates);

	if (socket_common_check(look, blockers, err))
		return -1;
	if (fd < 0 || getsockopt(fd, SOL_UDP, UDP_ENCAP, &encapsulates, &size) || !encapsulates)
		return 0;
	if (blockers_add(blockers, look->pid, "the kernel takes packets out of it (UDP_ENCAP)",
			 "stop the tunnel or IPsec daemon", "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* A datagram that the program is still putting together (UDP_CORK, MSG_MORE) can be read by
 * nobody. One on its way through a device goes by itself. */
static int wait_for_departure(struct dump_file *f, int fd, struct error *err)
{
	int waiting;

	for (int tries = 0; tries < 20; tries++) {
		if (ioctl(fd, SIOCOUTQ, &waiting))
			return error_set(err, ERROR_TARGET, errno, "%s: SIOCOUTQ",
					 dump_file_name(f));
		if (!waiting)
			return 0;
		usleep(1000);
	}
	error_set(err, ERROR_BLOCKED, 0, "%s: it holds a datagram that is not complete (UDP_CORK)",
		  dump_file_name(f));
	return error_hint(err, "try again when the program has sent it");
}

static int dump_message(struct dump_files *d, struct dump_file *f, UdpSocket *m, struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	union inet_address local, remote;

	m->common = socket_file_common(d, f, err);
	if (fd < 0 || !m->common || socket_common_dump(d, f, levels, &m->socket, err) ||
	    wait_for_departure(f, fd, err))
		return -1;
	if (inet_local(fd, &local) || inet_remote(fd, &remote))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read its addresses",
				 dump_file_name(f));
	if (inet_address_save(&local, &m->local, err) ||
	    inet_address_save(&remote, &m->remote, err) ||
	    multicast_dump(f, fd, m->socket->domain, &m->groups, &m->n_groups, err) ||
	    datagrams_dump(dump_files_run(d), f, fd, &m->queue, &m->n_queue, err))
		return -1;
	return dump_file_message(d, f, &m->base, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	UdpSocket *m = malloc(sizeof(*m));
	int failed;

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	udp_socket__init(m);
	m->id = f->id;
	failed = dump_message(d, f, m, err);
	udp_socket__free_unpacked(m, NULL);
	return failed;
}

/* ---- restore ---- */

static const UdpSocket *message(const struct restore_file *f)
{
	return (const UdpSocket *)f->message;
}

static int create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UdpSocket *m = message(f);
	const SocketCommon *s = m->socket;
	bool fine = (s->domain == AF_INET || s->domain == AF_INET6) && s->type == SOCK_DGRAM &&
		    (s->protocol == IPPROTO_UDP || s->protocol == IPPROTO_UDPLITE);
	union inet_address local;
	char text[64];

	if (socket_common_expect(f, s, fine, err) || socket_common_create(r, f, s, err))
		return -1;
	if (m->local && inet_address_load(m->local, s->domain, &local, err))
		return -1;
	if (m->local && bind(f->fd, &local.any, inet_address_size(&local))) {
		error_set(err, ERROR_FAILED, errno, "cannot bind a socket to %s",
			  inet_text(&local, text));
		return errno == EADDRINUSE ? error_hint(err, "see who has it: ss -uap") : -1;
	}
	return multicast_put(f->fd, s->domain, m->groups, m->n_groups, err);
}

/* The part of the queue that comes from the peer, or the part before that; the socket takes them
 * when it is connected, or not yet. */
static int put_queue(struct restore_files *r, struct restore_file *f, bool from_peer,
		     struct error *err)
{
	const UdpSocket *m = message(f);
	_cleanup_injector_ struct injector injector;
	union inet_address local, peer = { 0 }, from;

	if (inet_local(f->fd, &local))
		return error_set(err, ERROR_FAILED, errno, "getsockname");
	if (m->remote && inet_address_load(m->remote, m->socket->domain, &peer, err))
		return -1;
	injector_start(&injector, r, f, m->socket->protocol, &local);
	for (size_t i = 0; i < m->n_queue; i++) {
		const InetAddress *a = m->queue[i]->from;

		if (inet_address_load(a, a->address.len == 4 ? AF_INET : AF_INET6, &from, err))
			return -1;
		if (from_peer == (m->remote && inet_same(&from, &peer)) &&
		    injector_put(&injector, m->queue[i], err))
			return -1;
	}
	return 0;
}

static int reconnect(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UdpSocket *m = message(f);
	union inet_address remote;
	char text[64];

	if (m->n_queue) {
		int size = 64 << 20;

		if (setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
			return error_set(err, ERROR_FAILED, errno, "SO_RCVBUFFORCE");
		if (put_queue(r, f, false, err))
			return -1;
	}
	if (!m->remote)
		return 0;
	if (inet_address_load(m->remote, m->socket->domain, &remote, err))
		return -1;
	if (connect(f->fd, &remote.any, inet_address_size(&remote)))
		return error_set(err, ERROR_FAILED, errno, "cannot connect a socket to %s",
				 inet_text(&remote, text));
	return 0;
}

static int fill(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UdpSocket *m = message(f);

	return m->n_queue && m->remote ? put_queue(r, f, true, err) : 0;
}

static int finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return socket_common_finish(f, message(f)->socket, err);
}

static const struct file_ops udp_socket_file = {
	.recognise = recognise,
	.check = check,
	.dump = dump,
	.create = create,
	.connect = reconnect,
	.fill = fill,
	.link = finish,
};

const struct kind udp_socket_kind = {
	.name = "udp_socket",
	.record = 0x142,
	.scope = KIND_FILE,
	.message = &udp_socket__descriptor,
	.help = "UDP and UDP-Lite: addresses, multicast groups, queued datagrams",
	.file = &udp_socket_file,
};
