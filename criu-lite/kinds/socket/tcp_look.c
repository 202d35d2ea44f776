/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TCP sockets look like from outside: who is at the other end, and what preflight refuses. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"
#include "kinds/socket/tcp.h"

static const char *const protocols[] = { "TCP", "TCPv6", NULL };

bool tcp_recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

int tcp_info_of(int fd, struct tcp_info *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_TCP, TCP_INFO, ret, &size);
}

/* ---- who is at the other end ---- */

static void address_of(const struct inet_diag_msg *m, union inet_address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = m->idiag_family;
	if (m->idiag_family == AF_INET) {
		ret->v4.sin_port = m->id.idiag_dport;
		memcpy(&ret->v4.sin_addr, m->id.idiag_dst, 4);
		return;
	}
	ret->v6.sin6_port = m->id.idiag_dport;
	ret->v6.sin6_scope_id = m->id.idiag_if;
	memcpy(&ret->v6.sin6_addr, m->id.idiag_dst, 16);
}

/* Whom a socket asks for a connection getpeername(2) does not tell. */
static int find_asked(int diag, int fd, struct tcp_other *ret, struct error *err)
{
	_cleanup_inet_diag_list_ struct inet_diag_list list = { 0 };
	const struct inet_diag_msg *m;
	struct stat st;

	if (fstat(fd, &st))
		return error_set(err, ERROR_TARGET, errno, "fstat");
	if (diag_inet_list(diag, ret->local.any.sa_family, IPPROTO_TCP, 1 << TCP_SYN_SENT, &list))
		return error_set(err, ERROR_FAILED, errno, "cannot ask the kernel about sockets");
	array_for(m, &list.sockets) {
		if (m->idiag_inode != st.st_ino)
			continue;
		address_of(m, &ret->remote);
		ret->what = TCP_OTHER_REMOTE;
		return 0;
	}
	return error_set(err, ERROR_DIED, 0, "a connection has ended while we look");
}

int tcp_check_closed(struct error *err)
{
	static const uint32_t states = 1 << TCP_FIN_WAIT1 | 1 << TCP_CLOSING | 1 << TCP_LAST_ACK;
	_cleanup_inet_diag_list_ struct inet_diag_list list = { 0 };
	_cleanup_fd_ int any = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_fd_ int diag = any < 0 ? -1 : diag_open(any, err);
	const struct inet_diag_msg *m;
	union inet_address remote;
	char text[64];

	if (diag < 0)
		return -1;
	if (diag_inet_list(diag, AF_INET, IPPROTO_TCP, states, &list) ||
	    diag_inet_list(diag, AF_INET6, IPPROTO_TCP, states, &list))
		return error_set(err, ERROR_FAILED, errno, "cannot ask the kernel about sockets");
	array_for(m, &list.sockets) {
		/* The end of the stream counts as a byte. */
		if (m->idiag_inode || m->idiag_wqueue <= 1)
			continue;
		address_of(m, &remote);
		error_set(err, ERROR_BLOCKED, 0,
			  "a connection with %s was closed with %u bytes that it has not got yet",
			  inet_text(&remote, text), m->idiag_wqueue - 1);
		return error_hint(err, "try again in a moment, or give them up: --tcp close");
	}
	return 0;
}

int tcp_find_other(int fd, struct tcp_other *ret, struct error *err)
{
	_cleanup_fd_ int diag = diag_open(fd, err);
	struct inet_diag_sockid id;
	struct inet_diag_msg found = { 0 };
	int family, known;

	if (diag < 0)
		return -1;
	if (inet_local(fd, &ret->local) || inet_remote(fd, &ret->remote))
		return error_set(err, ERROR_TARGET, errno, "cannot read the addresses of a socket");
	if (inet_is_empty(&ret->remote))
		return find_asked(diag, fd, ret, err);
	family = inet_sockid(&ret->remote, &ret->local, &id);
	known = diag_inet(diag, family, IPPROTO_TCP, &id, &found, err);
	if (known < 0)
		return -1;
	ret->inode = found.idiag_inode;
	ret->unread = found.idiag_rqueue;
	ret->unsent = found.idiag_wqueue;
	if (!known || found.idiag_state == TCP_LISTEN)
		ret->what = inet_is_here(&ret->remote, &ret->local) ? TCP_OTHER_GONE :
								      TCP_OTHER_REMOTE;
	else if (found.idiag_inode)
		ret->what = TCP_OTHER_SOCKET;
	else if (found.idiag_state == TCP_ESTABLISHED || found.idiag_state == TCP_CLOSE_WAIT ||
		 found.idiag_state == TCP_SYN_RECV)
		ret->what = TCP_OTHER_WAITS;
	else
		ret->what = TCP_OTHER_CLOSED;
	/* The end of the stream counts as a byte to be read. */
	if (found.idiag_state == TCP_CLOSE_WAIT && ret->unread)
		ret->unread--;
	return 0;
}

bool tcp_is_connected(int state)
{
	return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_SYN_SENT &&
	       state != TCP_SYN_RECV;
}

static bool listens_on(const struct fd_look *look, const union inet_address *at)
{
	_cleanup_fd_ int fd = tcp_recognise(look) ? fd_look_duplicate(look) : -1;
	union inet_address local;
	struct tcp_info info;

	return fd >= 0 && !tcp_info_of(fd, &info) && info.tcpi_state == TCP_LISTEN &&
	       !inet_local(fd, &local) && inet_port(&local) == inet_port(at);
}

/* Whether somebody in the tree will accept what comes to this address. */
static bool listens_in_tree(const struct fd_scan *scan, const union inet_address *at)
{
	const struct fd_look *look = NULL;

	while ((look = fd_scan_next(scan, look)))
		if (listens_on(look, at))
			return true;
	return false;
}

int tcp_leaves(const struct fd_scan *scan, int fd, struct tcp_other *ret, bool *ret_leaves,
	       struct error *err)
{
	struct tcp_info info;
	struct stat st;

	*ret_leaves = false;
	if (tcp_info_of(fd, &info) || fstat(fd, &st))
		return error_set(err, ERROR_TARGET, errno, "TCP_INFO");
	if (!tcp_is_connected(info.tcpi_state) && info.tcpi_state != TCP_SYN_SENT)
		return 0;
	if (tcp_find_other(fd, ret, err))
		return -1;
	*ret_leaves = info.tcpi_state == TCP_SYN_SENT || ret->what == TCP_OTHER_REMOTE ||
		      (ret->what == TCP_OTHER_SOCKET &&
		       !fd_scan_by_inode(scan, st.st_dev, ret->inode, NULL)) ||
		      (ret->what == TCP_OTHER_WAITS && !listens_in_tree(scan, &ret->remote));
	return 0;
}

/* ---- preflight ---- */

static int add_blocker(struct blockers *b, const struct fd_look *look, const char *reason,
		       const char *remedy, struct error *err)
{
	if (blockers_add(b, look->pid, reason, remedy, "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

int tcp_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	char protocol[16] = { 0 };
	socklen_t size = sizeof(protocol) - 1;
	struct tcp_info info;

	if (socket_common_check(look, blockers, err))
		return -1;
	if (fd < 0 || tcp_info_of(fd, &info))
		return 0;
	if (!getsockopt(fd, SOL_TCP, TCP_ULP, protocol, &size) && protocol[0] &&
	    add_blocker(blockers, look, "its bytes are encrypted by the kernel (TCP_ULP)",
			"turn kernel TLS off in the program", err))
		return -1;
	if ((tcp_is_connected(info.tcpi_state) || info.tcpi_state == TCP_SYN_SENT) &&
	    (!feature_works("inet-diag") || !feature_works("tcp-repair")))
		return add_blocker(blockers, look, "this kernel does not let connections be saved",
				   "it lacks inet_diag or TCP_REPAIR: see criu-lite check", err);
	if (info.tcpi_state == TCP_SYN_RECV)
		return add_blocker(blockers, look, "its connection is half open",
				   "try again when it is established", err);
	return 0;
}

int tcp_check_tree(const struct fd_scan *scan, const struct fd_look *look,
		   struct blockers *blockers, struct error *err)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	struct tcp_other other;
	bool leaves;

	if (fd < 0 || tcp_leaves(scan, fd, &other, &leaves, &ignored) || !leaves ||
	    fd_scan_may_leave(scan))
		return 0;
	return add_blocker(blockers, look,
			   "this kernel cannot hold packets of its connection off (packet-lock)",
			   "see criu-lite check, or close connections: --tcp close", err);
}
