/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_LINK_H
#define CL_KINDS_NET_LINK_H

#include <linux/if.h>

#include "images/net_links.pb-c.h"
#include "kinds/blockers.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"

/* The links of a network namespace, and what of the machine's belongs to them. */

/* A kind of link that can be made anew. */
struct net_link_kind {
	const char *name;		/* IFLA_INFO_KIND */
	enum {
		LOWER_NONE,
		LOWER_NEEDED,		/* it stands on another link */
		LOWER_END,		/* it is one of two ends */
	} lower;
	const struct net_attribute_form *data;	/* of IFLA_INFO_DATA */
	size_t data_count;
};

/* NULL: none of ours. */
const struct net_link_kind *net_link_kind(const char *name);

struct net_link_form {
	const struct net_attribute_form *items;
	size_t count;
};
extern const struct net_link_form net_link_form;	/* IFLA_* that are saved */
extern const struct net_link_form net_link_form_later;	/* those that a link takes when it is
							 * there, and all that the loopback does */
extern const struct net_link_form net_port_form;	/* IFLA_BRPORT_* */

/* Flags that can be set, netdevice(7). */
#define NET_LINK_FLAGS \
	(IFF_UP | IFF_DEBUG | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_DYNAMIC)

/* Whether foreign bytes are a name that a link can have, taken as it is. */
bool net_link_name_valid(const char *name);

/* What the kernel tells of one link: by name when that is not NULL, else by index. Returns 1, 0
 * when there is none, or -1; *ret is the message within *answer. */
int net_link_look(struct netlink *nl, const char *name, int index, struct buffer *answer,
		  const struct nlmsghdr **ret, struct error *err);
const char *net_link_name(const struct nlmsghdr *h);
/* IFLA_INFO_KIND, NULL for one without. */
const char *net_link_kind_name(const struct nlmsghdr *h);
const struct nlattr *net_link_attribute(const struct nlmsghdr *h, int type, size_t least);

/* ---- saving ---- */

struct net_link_reader {
	struct netlink own, host;
	int32_t host_id;	/* what the machine's namespace is called in ours; -1: nothing */
	struct blockers *blockers;
	pid_t pid;		/* for them */
};

/* All links; what cannot be saved is added to the blockers and left out. */
int net_links_read(struct net_link_reader *r, int host_net, NetLinks *m, struct error *err);
/* The other end of a veth, on the machine; 1 when it is there, 0 when it was made a blocker. */
int net_host_end_read(struct net_link_reader *r, const char *name, uint32_t index, int host_index,
		      NetHostEnd **ret, struct error *err);
int net_link_blocked(struct net_link_reader *r, const char *name, const char *reason,
		     const char *remedy, struct error *err);

/* ---- making ---- */

/* Whether what the link needs of this machine is there. */
int net_host_check(const struct restore *r, struct netlink *host, const NetLink *link,
		   struct error *err);
/* Makes place for a link of that name on the machine: what is left of a container that has ended
 * is removed, or waited for. */
int net_host_place(struct netlink *host, const char *name, struct error *err);
/* Makes all links of our namespace, and the machine's ends of them; ours are down. */
int net_links_make(const struct restore *r, struct netlink *own, struct netlink *host,
		   const NetLinks *m, struct error *err);
/* Makes a tun or tap link that is there with nobody having it open, tun(4). */
int net_tun_make(const struct container *c, const NetLink *link, struct error *err);
/* Puts those attributes that the form has, of a longer list. */
void net_link_put(struct netlink *nl, const struct net_link_form *form,
		  NetAttribute *const *items, size_t count);
/* Brings the machine's end into its state and up, so that the carrier is there in time, but not yet
 * to its bridge … */
int net_host_end_set(const struct restore *r, struct netlink *host, const NetHostEnd *end,
		     struct error *err);
/* … and now to that, too. */
int net_host_end_open(const struct restore *r, struct netlink *host, const NetHostEnd *end,
		      struct error *err);
/* Makes it a port of a bridge, with these IFLA_BRPORT_*. */
int net_port_set(struct netlink *nl, uint32_t index, const char *name, uint32_t bridge,
		 NetAttribute *const *port, size_t count, struct error *err);
/* Waits until packets can pass a link that is up, as long as that takes. */
void net_link_wait(struct netlink *own, uint32_t index);

#endif
