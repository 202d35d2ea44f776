/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_HELD_PACKETS_H
#define CL_KINDS_NET_HELD_PACKETS_H

#include "images/held_packets.pb-c.h"
#include "kinds/dump.h"
#include "network/hold.h"

struct restore;

/* Packets that arrive for a container with a network namespace of its own (network/hold.h). */

/* With the container running, which will not run on: begins to listen. */
int held_packets_start(struct dump *d, struct error *err);
/* It is held, and its packets are about to be locked out. */
void held_packets_from_now(struct dump *d);
void held_packets_end(struct dump *d);
/* The other side of it: frees. */
void held_packets_forget(struct restore *r);

/* The message of packets (free it with held_packets__free_unpacked), and the other way round:
 * ERROR_IMAGE for what cannot be such packets. Both copy. */
int held_packets_save(const struct held_packets *packets, HeldPackets **ret, struct error *err);
int held_packets_load(const HeldPackets *message, struct held_packets *ret, struct error *err);

#endif
