/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What passes by itself in a moment, if no new connections begin, and cannot be saved. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "kinds/socket/diag.h"
#include "kinds/socket/tcp.h"

/* One whose packets had to be sent again may take any time, and never come to an end. Of a queue
 * one byte is the end of the stream. */
static bool is_unfinished(const struct inet_diag_msg *m)
{
	switch (m->idiag_state) {
	case TCP_LISTEN:
		return m->idiag_rqueue;
	case TCP_SYN_RECV:
		return !m->idiag_retrans;
	default:
		return !m->idiag_inode && m->idiag_wqueue > 1 && !m->idiag_retrans;
	}
}

int tcp_unfinished(size_t *ret, struct error *err)
{
	static const uint32_t states = 1 << TCP_LISTEN | 1 << TCP_SYN_RECV | 1 << TCP_FIN_WAIT1 |
				       1 << TCP_CLOSING | 1 << TCP_LAST_ACK;
	_cleanup_inet_diag_list_ struct inet_diag_list list = { 0 };
	_cleanup_fd_ int any = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_fd_ int diag = any < 0 ? -1 : diag_open(any, err);
	const struct inet_diag_msg *m;

	*ret = 0;
	if (diag < 0)
		return -1;
	if (diag_inet_list(diag, AF_INET, IPPROTO_TCP, states, &list) ||
	    diag_inet_list(diag, AF_INET6, IPPROTO_TCP, states, &list))
		return error_set(err, ERROR_FAILED, errno, "cannot ask the kernel about sockets");
	array_for(m, &list.sockets)
		*ret += is_unfinished(m);
	return 0;
}
