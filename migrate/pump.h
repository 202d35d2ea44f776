/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_PUMP_H
#define CL_MIGRATE_PUMP_H

#include "migrate/tls.h"

/*
 * A process between a TLS connection and a descriptor, so that images are read and written as from
 * any other connection. It ends when both directions have ended, or the connection breaks.
 */

enum { PUMP_REASON_MAX = 256 };

/* Starts it; it takes over tls and socket. Makes *ret the descriptor in place of the connection,
 * *ret_pid the process, a child of ours, and *ret_reason shared memory of PUMP_REASON_MAX bytes
 * that says why the connection broke, if it did. */
int pump_start(struct tls *tls, int socket, int *ret, pid_t *ret_pid, char **ret_reason,
	       struct error *err);

#endif
