/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_DATAGRAM_H
#define CL_KINDS_SOCKET_DATAGRAM_H

#include "kinds/socket/inet.h"

/* What the datagram sockets of the Internet families share: udp(7), udplite(7), raw(7). */

/* ---- multicast (multicast.c) ---- */

/* The groups that this very socket has joined, with the sources that it wants of them. */
int multicast_dump(struct dump_file *f, int fd, int domain, MulticastGroup ***ret,
		   size_t *ret_count, struct error *err);
int multicast_put(int fd, int domain, MulticastGroup *const *groups, size_t count,
		  struct error *err);

/* ---- queues (datagram.c) ---- */

/* What waits in it; nothing is taken out. */
int datagrams_dump(struct dump *run, struct dump_file *f, int fd, Datagram ***ret,
		   size_t *ret_count, struct error *err);

/*
 * Brings datagrams into a bound socket again, with the addresses of their senders: a raw socket of
 * the opener sends them to this machine as if they came from there. One that does not arrive (a
 * firewall, a device that the socket is bound to) is lost, as datagrams may be, which the log says.
 */
struct injector {
	struct restore_files *r;
	struct restore_file *f;
	int protocol;
	union inet_address local;	/* of the socket */
	int raw4, raw6;			/* -1: not opened yet */
};

void injector_start(struct injector *i, struct restore_files *r, struct restore_file *f,
		    int protocol, const union inet_address *local);
int injector_put(struct injector *i, const Datagram *datagram, struct error *err);
void injector_release(struct injector *i);
#define _cleanup_injector_ __attribute__((cleanup(injector_release)))

#endif
