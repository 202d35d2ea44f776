/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_HELD_PACKETS_H
#define CL_KINDS_NET_HELD_PACKETS_H

#include "images/held_packets.pb-c.h"
#include "kinds/dump.h"
#include "network/hold.h"

struct restore;

/* Packets that arrive for a container with a network namespace of its own (network/hold.h). */

/* With the container running: begins to listen. */
int held_packets_start(struct dump *d, struct error *err);
/* Its packets, or some of them, are about to be locked out. */
void held_packets_from_now(struct dump *d);
/* With new connections, and nothing else, locked out for some time: keeps those. */
int held_packets_keep_beginnings(struct dump *d, struct error *err);
/* What has arrived since it was asked for last, as a message; empty where none are held. The image
 * has what had arrived when it was sealed. */
int held_packets_take(struct dump *d, HeldPackets **ret, struct error *err);
/* The container goes on here: what has arrived arrives. Nothing is held then. */
void held_packets_give_back(struct dump *d);
void held_packets_end(struct dump *d);

/* The other side, with all of the container there: makes ready to let packets arrive. That this
 * cannot be is only told: they are lost then. */
void held_packets_expect(struct restore *r);
/* With the container about to run: lets them arrive, if they are not too old, but datagrams and
 * new connections only in held_packets_arrive_late(), once somebody is there to take them. */
int held_packets_arrive(struct restore *r, const HeldPackets *message, struct error *err);
void held_packets_arrive_late(struct restore *r);
void held_packets_forget(struct restore *r);

/* The message of those packets that are behind the first ones (free it with
 * held_packets__free_unpacked), and the other way round: ERROR_IMAGE for what cannot be such
 * packets. Both copy. */
int held_packets_save(const struct held_packets *packets, size_t first, HeldPackets **ret,
		      struct error *err);
int held_packets_load(const HeldPackets *message, struct held_packets *ret, struct error *err);

#endif
