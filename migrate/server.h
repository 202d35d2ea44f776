/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_SERVER_H
#define CL_MIGRATE_SERVER_H

#include "migrate/destination.h"
#include "migrate/transport.h"

/* Listening: a process for each connection. */

struct server_options {
	const char *listen;	/* "ADDR:PORT" */
	bool once;		/* ends with the first migration */
	int connections_max;
	struct transport_options transport;
	struct receive_options receive;
	/* We listen, at this address with this port. */
	void (*listens)(void *context, const char *where);
	/* In the process of a connection: it has ended. Returns its exit status. */
	int (*served)(void *context, const struct receive_report *report, const char *peer,
		      const struct error *failed);
	void *context;
};

/* Serves until a signal ends us; with .once until the end of the first connection that came with a
 * migration, whose exit status is returned. */
int server_run(const struct server_options *options, struct error *err);
/* Serves one connection that we have on these descriptors already. */
int server_serve_stdio(const struct server_options *options, int in, int out, struct error *err);

#endif
