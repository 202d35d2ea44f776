/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_LINKS_H
#define CL_NETWORK_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

/* The interfaces of a network namespace, rtnetlink(7). */

struct link {
	int ifindex;
	char name[IF_NAMESIZE];
	char kind[16];		/* "veth", "bridge", …; empty for hardware and lo */
	int lower; /* its other end, or what it lies on: an ifindex of whichever namespace
				 * that is in; 0: none */
	bool ethernet, loopback;
	int master;		/* of which it is a port (a bridge, or another that takes its frames
				 * over): an ifindex; 0: none */
	uint8_t mac[6];		/* of an Ethernet one */
};

struct links {
	ARRAY_OF(struct link) list;
};

/* Those of the namespace that we are in. */
int links_read(struct links *ret, struct error *err);
/* NULL when there is none of that name, or number. */
const struct link *links_named(const struct links *links, const char *name);
const struct link *links_numbered(const struct links *links, int ifindex);
/* Whether frames enter the namespace through it; others (bridges, VLANs) have them from such a
 * one. */
bool link_is_entrance(const struct link *link);
/* Takes all but the loopback down (netdevice(7)): nothing comes in or goes out any more. What does
 * not go down is left. */
void links_take_down(const struct links *links);
void links_release(struct links *links);
#define _cleanup_links_ __attribute__((cleanup(links_release)))

#endif
