/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw sockets of the Internet families, raw(7), and the datagram sockets of ping, icmp(7). Packets
 * that wait in them are lost, as packets may be.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "images/raw_socket.pb-c.h"
#include "kinds/socket/datagram.h"
#include "proc/raw.h"

static const char *const protocols[] = { "RAW", "RAWv6", "PING", "PINGv6", NULL };
static const int levels[] = { SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_RAW, SOL_ICMPV6, -1 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

/* Whether there are multicast routes in its namespace: some raw socket of the protocol that groups
 * are joined by has made them (MRT_INIT), and which one nobody tells. */
static bool may_route_multicast(const struct fd_look *look, int fd)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	int protocol = 0, domain = 0;
	socklen_t size = sizeof(int), domain_size = sizeof(int);
	const char *end;

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) ||
	    protocol != (domain == AF_INET ? IPPROTO_IGMP : IPPROTO_ICMPV6) ||
	    read_file_at(look->proc_fd, domain == AF_INET ? "net/ip_mr_vif" : "net/ip6_mr_vif",
			 &text))
		return false;
	/* Behind the headings. */
	end = strchr(text.data, '\n');
	return end && end[1];
}

static int check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);

	if (socket_common_check(look, blockers, err))
		return -1;
	if (fd >= 0 && may_route_multicast(look, fd) &&
	    blockers_add(blockers, look->pid, "it may be that of a multicast router",
			 "stop the routing daemon", "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* They connect to port 0, mostly, for which getpeername(2) says that there is no peer. */
static int find_remote(struct dump_file *f, int fd, const SocketCommon *s,
		       union inet_address *ret, struct error *err)
{
	struct proc_raw raw;

	if (inet_remote(fd, ret))
		return error_set(err, ERROR_TARGET, errno, "%s: getpeername", dump_file_name(f));
	if (!inet_is_empty(ret))
		return 0;
	if (proc_read_raw(f->look.proc_fd, s->type == SOCK_DGRAM, s->domain == AF_INET6,
			  f->look.st.st_ino, &raw, err) < 0)
		return -1;
	ret->any.sa_family = s->domain;
	if (s->domain == AF_INET)
		memcpy(&ret->v4.sin_addr, raw.remote, sizeof(ret->v4.sin_addr));
	else
		memcpy(&ret->v6.sin6_addr, raw.remote, sizeof(ret->v6.sin6_addr));
	return 0;
}

static int dump_message(struct dump_files *d, struct dump_file *f, RawSocket *m, struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	union inet_address local, remote;

	m->common = socket_file_common(d, f, err);
	if (fd < 0 || !m->common || socket_common_dump(d, f, levels, &m->socket, err))
		return -1;
	if (inet_local(fd, &local))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read its addresses",
				 dump_file_name(f));
	if (find_remote(f, fd, m->socket, &remote, err) ||
	    inet_address_save(&local, &m->local, err) ||
	    inet_address_save(&remote, &m->remote, err) ||
	    multicast_dump(f, fd, m->socket->domain, &m->groups, &m->n_groups, err))
		return -1;
	return dump_file_message(d, f, &m->base, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	RawSocket *m = malloc(sizeof(*m));
	int failed;

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	raw_socket__init(m);
	m->id = f->id;
	failed = dump_message(d, f, m, err);
	raw_socket__free_unpacked(m, NULL);
	return failed;
}

static const RawSocket *message(const struct restore_file *f)
{
	return (const RawSocket *)f->message;
}

/* The port of a raw socket is its protocol, which bind(2) and connect(2) do not take. */
static int load(const RawSocket *m, const InetAddress *saved, union inet_address *ret,
		struct error *err)
{
	if (inet_address_load(saved, m->socket->domain, ret, err))
		return -1;
	if (m->socket->type == SOCK_RAW)
		*(ret->any.sa_family == AF_INET ? &ret->v4.sin_port : &ret->v6.sin6_port) = 0;
	return 0;
}

static int create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const RawSocket *m = message(f);
	const SocketCommon *s = m->socket;
	bool fine = (s->domain == AF_INET || s->domain == AF_INET6) &&
		    (s->type == SOCK_RAW || s->type == SOCK_DGRAM);
	union inet_address local, remote;
	char text[64];

	if (socket_common_expect(f, s, fine, err) || socket_common_create(r, f, s, err) ||
	    (m->local && load(m, m->local, &local, err)) ||
	    (m->remote && load(m, m->remote, &remote, err)))
		return -1;
	if (m->local && !inet_is_empty(&local) &&
	    bind(f->fd, &local.any, inet_address_size(&local)))
		return error_set(err, ERROR_FAILED, errno, "cannot bind a socket to %s",
				 inet_text(&local, text));
	if (m->remote && connect(f->fd, &remote.any, inet_address_size(&remote)))
		return error_set(err, ERROR_FAILED, errno, "cannot connect a socket to %s",
				 inet_text(&remote, text));
	return multicast_put(f->fd, s->domain, m->groups, m->n_groups, err);
}

static int finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return socket_common_finish(f, message(f)->socket, err);
}

static const struct file_ops raw_socket_file = {
	.recognise = recognise,
	.check = check,
	.dump = dump,
	.create = create,
	.link = finish,
};

const struct kind raw_socket_kind = {
	.name = "raw_socket",
	.record = 0x144,
	.scope = KIND_FILE,
	.message = &raw_socket__descriptor,
	.help = "raw and ping sockets of IPv4 and IPv6, without packets that wait in them",
	.file = &raw_socket_file,
};
