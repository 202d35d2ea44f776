/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_TAKEOVER_H
#define CL_NETWORK_TAKEOVER_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Tells the neighbours that a network namespace's addresses are reached here from now on: their
 * caches, and the tables of bridges and switches on the way, learn it at once. For IPv4 gratuitous
 * ARP as request and as reply (some listen only to the one or the other; RFC 5944, 4.6), for IPv6
 * unsolicited neighbour advertisements that override (RFC 4861, 7.2.6).
 *
 * Only interfaces with neighbours to tell have a part: up, Ethernet, with ARP.
 */

struct takeover;

/* Finds all addresses of a network namespace (a descriptor as for netns_enter(); -1: the one that
 * we are in) and builds what is to be sent. Nothing is sent yet. */
int takeover_prepare(struct takeover **ret, int netns, struct error *err);
/* How many frames one round has. */
size_t takeover_count(const struct takeover *t);
/* Sends one round; returns how many frames left. */
size_t takeover_announce(const struct takeover *t);
/* Forks a process that sends some more rounds within a second (frames get lost, switches learn
 * late) and ends; early when `owner` ends (pidfd; -1: nobody), whose addresses they are: it keeps
 * their namespace. It holds nothing of ours but its socket, so that it does not matter who waits
 * for it; *ret is 0 when there is nothing to send. */
int takeover_repeat(const struct takeover *t, int owner, pid_t *ret, struct error *err);
/* Takes the kernel some milliseconds: not while anybody waits. */
void takeover_free(struct takeover *t);

static inline void takeover_freep(struct takeover **t)
{
	takeover_free(*t);
}
#define _cleanup_takeover_ __attribute__((cleanup(takeover_freep)))

#endif
