/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_NET_H
#define CL_KINDS_NET_NET_H

#include <stdbool.h>

#include "images/net_links.pb-c.h"
#include "kinds/container.h"
#include "kinds/kind.h"
#include "kinds/net/netlink.h"

/* What the kinds of a network namespace share. */

extern const struct kind net_links_kind;
extern const struct kind net_sysctls_kind;
extern const struct kind nftables_kind;
extern const struct kind net_addresses_kind;
extern const struct kind net_nexthops_kind;
extern const struct kind net_routes_kind;
extern const struct kind net_rules_kind;
extern const struct kind net_neighbours_kind;

/* Whether the tree has a network namespace of its own. */
bool net_is_own(const struct container *c);
/* What this machine calls it: --external net[NAME]=NAME-HERE. */
const char *net_host_name(const struct restore *r, const char *name);
/* Opens the machine's network, from within the tree's namespace. */
int net_open_host(const struct container *c, struct netlink *nl, struct error *err);

/* Brings the links up that were, as far as nobody outside can hear of it. Addresses need it. */
int net_links_raise(struct restore *r, struct netlink *nl, struct error *err);

/*
 * A value below /proc/sys/net of the namespace that we are in; the name is relative to that
 * directory. They return 0, or -1 with errno. A value comes without the newline that ends it, in
 * *ret, whose memory is used again.
 */
int net_sysctl_read(const char *name, struct buffer *ret);
int net_sysctl_write(const char *name, const char *value);

#endif
