/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netlink sockets, netlink(7). Messages of the kernel cannot be put back. Of notifications that
 * wait the program learns that they were lost, which it must be ready for anyway (ENOBUFS). An
 * answer that waits is read by the program first, or the socket is refused.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "images/netlink_socket.pb-c.h"
#include "kinds/socket/socket.h"

static const char *const protocols[] = { "NETLINK", NULL };
static const int levels[] = { SOL_SOCKET, SOL_NETLINK, -1 };

enum { ANSWER_MS = 200 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

/* ---- preflight ---- */

/* Whether it is the audit daemon's: the kernel sends it what happens. */
static bool is_audit_daemon(pid_t pid)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	struct nlmsghdr request = { .nlmsg_len = sizeof(request), .nlmsg_type = AUDIT_GET,
				    .nlmsg_flags = NLM_F_REQUEST };
	struct {
		struct nlmsghdr h;
		struct audit_status status;
		char more[256];
	} answer;
	ssize_t n;

	struct pollfd poller = { .fd = fd, .events = POLLIN };

	/* A thread of the kernel answers. */
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 ||
	    poll(&poller, 1, ANSWER_MS) != 1)
		return false;
	n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	return n >= (ssize_t)NLMSG_LENGTH(offsetof(struct audit_status, rate_limit)) &&
	       answer.h.nlmsg_type == AUDIT_GET && answer.status.pid == (uint32_t)pid;
}

/* Whether a list of nfnetlink has it: the second number of each line is a port. */
static bool is_listed(const struct fd_look *look, const char *path, uint32_t port)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	const char *line;

	if (read_file_at(look->proc_fd, path, &text))
		return false;
	for (line = text.data; line && *line; line = strchr(line, '\n')) {
		unsigned int number, its_port;

		line += *line == '\n';
		if (sscanf(line, "%u %u", &number, &its_port) == 2 && its_port == port)
			return true;
	}
	return false;
}

/* What the kernel keeps for it and cannot be asked for; NULL: nothing. */
static const char *reason_against(const struct fd_look *look, int fd)
{
	struct sockaddr_nl name = { 0 };
	socklen_t size = sizeof(name), protocol_size = sizeof(int);
	int protocol = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &protocol_size) ||
	    getsockname(fd, (struct sockaddr *)&name, &size) || !name.nl_pid)
		return NULL;
	if (protocol == NETLINK_CONNECTOR && name.nl_groups)
		return "what it wants to hear of processes cannot be read back";
	if (protocol == NETLINK_AUDIT && is_audit_daemon(look->pid))
		return "it is the audit daemon's, to which the kernel reports";
	if (protocol == NETLINK_NETFILTER &&
	    (is_listed(look, "net/netfilter/nfnetlink_queue", name.nl_pid) ||
	     is_listed(look, "net/netfilter/nfnetlink_log", name.nl_pid)))
		return "the packet filter hands packets to it (NFQUEUE, NFLOG)";
	return NULL;
}

static int check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	const char *reason = fd < 0 ? NULL : reason_against(look, fd);

	if (socket_common_check(look, blockers, err))
		return -1;
	if (reason && blockers_add(blockers, look->pid, reason, "let the program close it",
				   "descriptor %d (%s)", look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* ---- dump ---- */

static int refuse_waiting(struct dump_file *f, struct error *err)
{
	error_set(err, ERROR_BLOCKED, 0, "%s: netlink messages wait in it", dump_file_name(f));
	return error_hint(err, "try again when the program has read them");
}

/* Only the first message can be looked at, and only while no error waits before it. */
static int look_at_queue(struct dump_file *f, int fd, NetlinkSocket *m, struct error *err)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	struct sockaddr_nl from = { 0 };
	socklen_t size = sizeof(from);
	char byte;

	if (poll(&poller, 1, 0) < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: poll", dump_file_name(f));
	if (!(poller.revents & (POLLIN | POLLERR)))
		return 0;
	if (m->socket->protocol == NETLINK_USERSOCK)
		return refuse_waiting(f, err);
	if (!(poller.revents & POLLERR) &&
	    (recvfrom(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, (struct sockaddr *)&from, &size) < 0 ||
	     !from.nl_groups))
		return refuse_waiting(f, err);
	m->has_overrun = m->overrun = true;
	return 0;
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
	if (fd < 0 || !m->common || socket_common_dump(d, f, levels, &m->socket, err) ||
	    look_at_queue(f, fd, m, err))
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

/* ---- restore ---- */

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

/*
 * Lets the kernel run out of room for it, as it would have: it acknowledges what means nothing
 * until an acknowledgement is lost. Some of them stay in front of what comes; nobody waits for
 * their number.
 */
static int let_overrun(struct restore_file *f, struct error *err)
{
	enum { TRIES = 100 };
	struct nlmsghdr nothing = { .nlmsg_len = sizeof(nothing), .nlmsg_type = NLMSG_NOOP,
				    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int least = 0;

	if (setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)))
		return error_set(err, ERROR_FAILED, errno, "SO_RCVBUF");
	for (int i = 0; i < TRIES; i++) {
		struct pollfd poller = { .fd = f->fd };

		if (poll(&poller, 1, 0) == 1 && (poller.revents & POLLERR))
			return 0;
		if (sendto(f->fd, &nothing, sizeof(nothing), MSG_DONTWAIT,
			   (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
			break;
	}
	return error_set(err, ERROR_FAILED, errno,
			 "description %u: cannot tell the program that messages are lost", f->id);
}

static int finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const NetlinkSocket *m = (const NetlinkSocket *)f->message;
	/* Who does not want to be told is not. */
	bool silent = socket_option_saved(m->socket, SOL_NETLINK, NETLINK_NO_ENOBUFS, 0);

	if (m->overrun && !silent && let_overrun(f, err))
		return -1;
	return socket_common_finish(f, m->socket, err);
}

static const struct file_ops netlink_socket_file = {
	.recognise = recognise,
	.check = check,
	.dump = dump,
	.create = create,
	.link = finish,
};

const struct kind netlink_socket_kind = {
	.name = "netlink_socket",
	.record = 0x143,
	.scope = KIND_FILE,
	.message = &netlink_socket__descriptor,
	.help = "netlink sockets without answers to read: port, groups, options",
	.file = &netlink_socket_file,
};
