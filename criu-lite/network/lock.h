/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_LOCK_H
#define CL_NETWORK_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

/*
 * The packet lock: rules of nf_tables that keep packets from sockets which are being saved or
 * restored, and what these would answer from their peers. It lies before connection tracking.
 * Neighbours go on to be resolved. Packets on "lo" pass, unless they are of a locked connection.
 *
 * A lock belongs to the network namespace that we were in when it was made, and vanishes with us,
 * however we end (NFT_TABLE_F_OWNER), unless it is made to stay.
 */

enum { LOCK_NAME = 64 };

/* Both ends of a TCP connection as the locked side has them, in network order; IPv4 addresses are
 * in the first four bytes. */
struct lock_flow {
	int family;	/* AF_INET, AF_INET6 */
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
};

struct lock_flows {
	ARRAY_OF(struct lock_flow) list;
	ARRAY_OF(uint16_t) ports;
};
void lock_flows_release(struct lock_flows *flows);

struct lock_wish {
	/* All packets of the namespace, not only those of the connections. */
	bool everything;
	/* TCP connections that others begin, but through "lo". */
	bool beginnings;
	/* Outlives us under this name, for network_lock_remove(); NULL: it does not. */
	const char *stays;
	/* Packets with this SO_MARK pass; 0: none do. */
	uint32_t pass_mark;
	/* Connections whose packets are dropped both ways, and local ports (network order) at which
	 * connections can not begin. */
	const struct lock_flows *flows;
};

struct network_lock {
	int fd;		/* -1: there is none */
	uint32_t pass_mark;	/* as wished */
	char name[LOCK_NAME];
};
#define NETWORK_LOCK_NONE ((struct network_lock){ .fd = -1 })

/* ERROR_BLOCKED where the kernel cannot do it. A staying lock leaves *l without a lock. */
int network_lock(struct network_lock *l, const struct lock_wish *wish, struct error *err);
/* Ends it at once; a no-op on one that is none. To close its socket takes the kernel some 15 ms:
 * ending it can leave that open, for a second call to close it. */
void network_unlock(struct network_lock *l);
void network_unlock_leave_open(struct network_lock *l);
/* The name of a lock that stays for the image with this id, and the mark that passes it and that of
 * its restore. */
void network_lock_name(const uint8_t *id, size_t size, char ret[LOCK_NAME]);
uint32_t network_lock_mark(const uint8_t *id, size_t size);
/* Removes one that stays. 1, or 0 when there is none of this name, or -1. With the socket of
 * another lock (or NULL) it takes no longer than ending that. */
int network_lock_remove(const char *name, const struct network_lock *with, struct error *err);

#endif
