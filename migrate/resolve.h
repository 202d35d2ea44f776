/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_RESOLVE_H
#define CL_MIGRATE_RESOLVE_H

#include "migrate/record.h"
#include "migrate/transport.h"

/* Finishing a migration from its records, when a program or the connection has died in the middle.
 */

enum { RESOLVE_TRIES = 5 };
enum resolved { RESOLVED_HERE, RESOLVED_THERE };

/*
 * Source, with the record's lock: asks the destination, a few times, and does what the answer
 * means: the tree is ended silently, or runs on; the record goes. -1: nobody could tell, nothing
 * was changed. A record of a migration that had not come to COMMIT needs no asking.
 */
int resolve_source(struct record_file *r, const struct transport_options *transport,
		   const char *where, int tries, enum resolved *ret, struct error *err);
/* The same without asking: it runs here, on the operator's word. */
int resolve_here(struct record_file *r, struct error *err);
/* The part of that which is left when the tree has moved without trouble: in a network that it
 * shared, packets of its connections are not held back any more. */
int resolve_unlock(const struct record_file *r, struct error *err);

/* Source, that has no record of this id: tells the destination that it will not ask about it. */
int resolve_settled(int directory_fd, const uint8_t id[ID_SIZE],
		    const struct transport_options *transport, const char *where,
		    struct error *err);

/* Destination, with the record's lock: goes on with what was decided, or ends what is left. Then
 * *ret_runs says what the answer to the source is. The record of a tree that runs stays. */
int resolve_destination(struct record_file *r, bool *ret_runs, struct error *err);

#endif
