/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_DIAG_H
#define CL_KINDS_SOCKET_DIAG_H

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/* Questions to the kernel about sockets that one does not hold, sock_diag(7). */

/* A diag socket in the network namespace of a socket; the caller closes it. -1 on error. */
int diag_open(int socket, struct error *err);

struct unix_diag {
	uint8_t type;		/* SOCK_* */
	uint8_t state;		/* TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE */
	uint8_t shutdown;	/* 1: receives no more, 2: sends no more */
	uint32_t peer; /* inode; 0 when there is none, or it was never accepted, or is gone */
	uint32_t receive_queue;	/* bytes to read; of a listener: connections waiting */
	uint32_t send_queue;	/* memory of what others have not read; of a listener: backlog */
	/* Of a listener: inodes of those who wait, 0 for one that has closed already. */
	ARRAY_OF(uint32_t) pending;
};

/* Returns 1, 0 when no socket of this namespace has that inode, or -1. Release *ret. */
int diag_unix(int diag, ino_t inode, struct unix_diag *ret, struct error *err);
void diag_unix_release(struct unix_diag *d);
#define _cleanup_unix_diag_ __attribute__((cleanup(diag_unix_release)))

/* The TCP or UDP socket with exactly these addresses. Returns 1, 0 when there is none, or -1. */
int diag_inet(int diag, int family, int protocol, const struct inet_diag_sockid *id,
	      struct inet_diag_msg *ret, struct error *err);
/* All sockets of a family in these states (a bit for each TCP_…), added to *ret, which the caller
 * releases. 0, or -1 with errno. */
struct inet_diag_list {
	ARRAY_OF(struct inet_diag_msg) sockets;
};
int diag_inet_list(int diag, int family, int protocol, uint32_t states,
		   struct inet_diag_list *ret);
void inet_diag_list_release(struct inet_diag_list *list);
#define _cleanup_inet_diag_list_ __attribute__((cleanup(inet_diag_list_release)))
/* SOCK_DESTROY of such a socket, needs CONFIG_INET_DIAG_DESTROY. 0, or -1 with errno. */
int diag_inet_destroy(int diag, int family, int protocol, const struct inet_diag_sockid *id);
/* The same for all with this local port (network order) that have nothing to send any more and only
 * wait for their end: TIME_WAIT, FIN_WAIT2 without an owner. */
void diag_inet_destroy_waiting(int diag, int family, int protocol, uint16_t port);

#endif
