/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_TRANSPORT_H
#define CL_MIGRATE_TRANSPORT_H

#include "migrate/link.h"

/*
 * How two sides come to have a connection, and know that they are talking to the right one. Over
 * plain TCP they do not: only loopback addresses will do, and processes of root or our own user.
 */

struct transport_options {
	const char *via;	/* a shell command whose input and output are the connection */
	const char *tls_certificate, *tls_key, *tls_ca;	/* PEM files */
	const char *tls_name;	/* --tls-name: what the peer's certificate must say; NULL: the host
				 * that is connected to, or anything that the CA has signed */
	const char *psk_file;	/* a key of hexadecimal digits that both sides have */
	int timeout_s;		/* until a connection is made, or a dead one is noticed */
};

/* ERROR_USAGE for options that do not go together. */
int transport_check(const struct transport_options *o, struct error *err);
/* Connects to "HOST:PORT", "[V6]:PORT" (or to --via, where may be NULL). */
int transport_connect(const struct transport_options *o, const char *where, struct link *ret,
		      struct error *err);
/* Listens there; the port may be 0. Refuses what needs authentication and has none. *ret_name,
 * malloc'ed, is the address with its port. -1 on error. */
int transport_listen(const struct transport_options *o, const char *where, char **ret_name,
		     struct error *err);
/* Authenticates an accepted connection, which it takes over. */
int transport_accept(const struct transport_options *o, int socket, struct link *ret,
		     struct error *err);

#endif
