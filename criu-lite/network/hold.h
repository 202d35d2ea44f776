/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_HOLD_H
#define CL_NETWORK_HOLD_H

#include <linux/virtio_net.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

/*
 * Keeps the packets that arrive for a container while neither side runs and the packet filter turns
 * them away, packet(7). Given back where the container runs again (network/replay.h), its peers
 * need not wait for their retransmission timers.
 *
 *	hold_start()		while the container runs
 *	hold_from_now()		just before packets are locked out; what came before was delivered
 *	hold_take_beginnings()	where new connections are turned away earlier than other packets
 *	hold_take()		once, or some times, with the packets still locked out
 *	hold_end()
 *
 * Kept are TCP, UDP, UDP-Lite and ICMP (but not neighbour discovery) to an interface's own hardware
 * address, as the driver handed them over: many segments in one frame stay one.
 */

enum {
	HOLD_MEMORY_MAX = 16 << 20,	/* of the kernel for each interface; the oldest stay */
	HOLD_BYTES_MAX = 15 << 20,	/* that hold_take() returns at once, so that one message
					 * of an image has room for them … */
	HOLD_BEGINNINGS_MAX = 1 << 19,	/* … besides these of hold_take_beginnings() */
};

struct held_packet {
	char interface[IF_NAMESIZE];
	struct virtio_net_hdr header;	/* how far checksums and segments are done */
	uint8_t *frame;		/* Ethernet */
	size_t size;
};

struct held_packets {
	ARRAY_OF(struct held_packet) list;	/* as they arrived at each interface */
	size_t bytes;
	uint64_t dropped;	/* those for which there was no room */
};

struct hold;

/* Begins on all interfaces through which packets enter the network namespace that we are in. Its
 * sockets stay with that namespace: the other calls may come from anywhere. */
int hold_start(struct hold **ret, struct error *err);
/* Forgets what has arrived. */
void hold_from_now(struct hold *h);
/* Moves what asks for new TCP connections to the end of *ret, and forgets the rest. */
int hold_take_beginnings(struct hold *h, struct held_packets *ret, struct error *err);
/* Moves what has arrived to the end of *ret (zero it first; the caller releases it). What is above
 * HOLD_BYTES_MAX stays for the next call. */
int hold_take(struct hold *h, struct held_packets *ret, struct error *err);
/* Takes the kernel some milliseconds for each interface: not while anybody waits. */
void hold_end(struct hold *h);
void held_packets_release(struct held_packets *p);
#define _cleanup_held_packets_ __attribute__((cleanup(held_packets_release)))

#endif
