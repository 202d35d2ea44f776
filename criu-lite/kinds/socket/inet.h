/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_INET_H
#define CL_KINDS_SOCKET_INET_H

#include "kinds/socket/diag.h"
#include "kinds/socket/socket.h"

/* Addresses of the Internet families, ip(7) and ipv6(7). */

union inet_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

socklen_t inet_address_size(const union inet_address *a);
uint16_t inet_port(const union inet_address *a);
/* No address and no port. */
bool inet_is_empty(const union inet_address *a);
/* The same end of a connection; an IPv4 address mapped into IPv6 is that IPv4 address. */
bool inet_same(const union inet_address *a, const union inet_address *b);
/* Makes an IPv4 address of a mapped one. */
void inet_unmap(union inet_address *a);
/* Whether the peer's address can only belong to this machine: loopback, or the same as ours. */
bool inet_is_here(const union inet_address *peer, const union inet_address *own);
/* "10.0.0.1:80", "[::1]:80" */
const char *inet_text(const union inet_address *a, char text[64]);

/* getsockname(2) and getpeername(2); *ret is empty when there is none. */
int inet_local(int fd, union inet_address *ret);
int inet_remote(int fd, union inet_address *ret);

/* Message of an address; *ret stays NULL for an empty one. */
int inet_address_save(const union inet_address *a, InetAddress **ret, struct error *err);
/* The other way round, for a socket of this domain. ERROR_IMAGE when it does not fit. */
int inet_address_load(const InetAddress *message, int domain, union inet_address *ret,
		      struct error *err);

/* The kernel's name of a connection as `local` sees it; returns its family. */
int inet_sockid(const union inet_address *local, const union inet_address *remote,
		struct inet_diag_sockid *ret);

#endif
