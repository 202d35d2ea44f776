/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_REPLAY_H
#define CL_NETWORK_REPLAY_H

#include "network/hold.h"

/*
 * Lets held packets arrive where the container runs now: sends them from the other end of the
 * interface that they came in by, so that they go the way of all packets.
 */

struct replayer;

/* For the network namespace that we are in, whose interfaces and addresses must be there;
 * other_ends is a descriptor of the namespace in which its veth interfaces have their other ends,
 * the host's. */
int replayer_open(struct replayer **ret, int other_ends, struct error *err);

struct replay_report {
	size_t arrived;
	size_t foreign; /* not for an address that is there, or not of a kind that is held */
	size_t no_way;		/* no interface of that name has an end where we can reach it */
	size_t refused;		/* by the kernel */
};

/* Datagrams (UDP) and what begins connections are for who runs: he has not room for all of them at
 * once, and they are not sent again, or late. */
enum replay_which { REPLAY_FOR_SOCKETS, REPLAY_FOR_PROGRAM };

/* Sockets and packet filter must be ready. Those for a program arrive as fast as it takes them.
 * Packets are checked, whoever they come from: none reaches anybody but that namespace. One that
 * does not arrive is lost, as packets may be. */
void replayer_play(struct replayer *r, const struct held_packets *packets,
		   enum replay_which which, struct replay_report *ret);
/* Takes the kernel some milliseconds (it waits for all processors): not while anybody waits. */
void replayer_free(struct replayer *r);

#endif
