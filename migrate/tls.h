/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_TLS_H
#define CL_MIGRATE_TLS_H

#include "migrate/transport.h"

/* TLS 1.3 on a connected socket (OpenSSL): both sides prove who they are, by a certificate or by a
 * key that both have. */

struct tls;

/* Handshake, within the timeout. `host` is what the source has connected to, NULL for the
 * destination. ERROR_USAGE for files that are no good, else ERROR_PEER. The socket stays the
 * caller's, and is non-blocking from now on. */
int tls_begin(struct tls **ret, const struct transport_options *o, int socket, enum side side,
	      const char *host, struct error *err);
/* As read(2) and write(2) on a non-blocking descriptor: -1 with EAGAIN when it would block, or with
 * EPROTO when the connection is broken. 0 from tls_read(): the peer has said its last. */
ssize_t tls_read(struct tls *t, void *data, size_t size);
ssize_t tls_write(struct tls *t, const void *data, size_t size);
/* What they wait for: poll(2) events of the socket. */
short tls_waits_for(const struct tls *t);
/* Says that nothing more will come. */
void tls_say_end(struct tls *t);
/* Why the connection broke, in `text`. */
void tls_reason(const struct tls *t, char *text, size_t size);
void tls_free(struct tls *t);

#endif
