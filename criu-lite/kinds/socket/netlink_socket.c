/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netlink sockets, netlink(7). Messages of the kernel that wait in one tell of a state of affairs
 * that a restore would make up: they are read by the program first, or the socket is refused.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "images/netlink_socket.pb-c.h"
#include "kinds/socket/socket.h"

static const char *const protocols[] = { "NETLINK", NULL };
static const int levels[] = { SOL_SOCKET, SOL_NETLINK, -1 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

static int refuse_waiting(struct dump_file *f, int fd, struct error *err)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	if (poll(&poller, 1, 0) < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: poll", dump_file_name(f));
	if (!(poller.revents & (POLLIN | POLLERR)))
		return 0;
	error_set(err, ERROR_BLOCKED, 0, "%s: netlink messages wait in it", dump_file_name(f));
	return error_hint(err, "try again when the program has read them");
}

static int dump_groups(int fd, NetlinkSocket *m)
{
	socklen_t size = 0;

	/* Asked for with no room, it tells how much it takes. */
	if (getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, NULL, &size) || !size)
		return 0;
	m->groups.data = calloc(1, size);
	if (!m->groups.data)
		return -1;
	m->groups.len = size;
	m->has_groups = true;
	return getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, m->groups.data, &size);
}

static int dump_message(struct dump_files *d, struct dump_file *f, NetlinkSocket *m,
			struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t size = sizeof(own), peer_size = sizeof(peer);

	m->common = socket_file_common(d, f, err);
	if (fd < 0 || !m->common || refuse_waiting(f, fd, err) ||
	    socket_common_dump(d, f, levels, &m->socket, err))
		return -1;
	if (getsockname(fd, (struct sockaddr *)&own, &size) ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_size) || dump_groups(fd, m))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read its addresses",
				 dump_file_name(f));
	m->port = own.nl_pid;
	m->has_peer_port = m->peer_port = peer.nl_pid;
	m->has_peer_groups = m->peer_groups = peer.nl_groups;
	m->peer_port = peer.nl_pid;
	m->peer_groups = peer.nl_groups;
	return dump_file_message(d, f, &m->base, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	NetlinkSocket *m = malloc(sizeof(*m));
	int failed;

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	netlink_socket__init(m);
	m->id = f->id;
	failed = dump_message(d, f, m, err);
	netlink_socket__free_unpacked(m, NULL);
	return failed;
}

static int join_groups(int fd, const NetlinkSocket *m, struct error *err)
{
	for (size_t i = 0; i < m->groups.len * 8; i++) {
		uint32_t word;
		int group = i + 1;

		if (i / 32 * 4 + 4 > m->groups.len)
			break;
		memcpy(&word, m->groups.data + i / 32 * 4, sizeof(word));
		if ((word >> i % 32 & 1) &&
		    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
			return error_set(err, ERROR_FAILED, errno, "cannot join netlink group %d",
					 group);
	}
	return 0;
}

static int create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const NetlinkSocket *m = (const NetlinkSocket *)f->message;
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = m->port };
	struct sockaddr_nl peer = { .nl_family = AF_NETLINK, .nl_pid = m->peer_port,
				    .nl_groups = m->peer_groups };
	bool fine = m->socket->domain == AF_NETLINK &&
		    (m->socket->type == SOCK_RAW || m->socket->type == SOCK_DGRAM);

	if (socket_common_expect(f, m->socket, fine, err) ||
	    socket_common_create(r, f, m->socket, err))
		return -1;
	if (m->port && bind(f->fd, (struct sockaddr *)&own, sizeof(own)))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot bind a netlink socket to port %u", m->port);
	if ((m->peer_port || m->peer_groups) &&
	    connect(f->fd, (struct sockaddr *)&peer, sizeof(peer)))
		return error_set(err, ERROR_FAILED, errno, "cannot connect a netlink socket");
	return join_groups(f->fd, m, err);
}

static int finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return socket_common_finish(f, ((const NetlinkSocket *)f->message)->socket, err);
}

static const struct file_ops netlink_socket_file = {
	.recognise = recognise,
	.dump = dump,
	.create = create,
	.link = finish,
};

const struct kind netlink_socket_kind = {
	.name = "netlink_socket",
	.record = 0x143,
	.scope = KIND_FILE,
	.message = &netlink_socket__descriptor,
	.help = "netlink sockets with nothing to read: port, groups, options",
	.file = &netlink_socket_file,
};
