/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links as they are: those of the tree's network namespace, and their ends on the machine. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kinds/net/link.h"

/* ---- one link ---- */

int net_link_look(struct netlink *nl, const char *name, int index, struct buffer *answer,
		  const struct nlmsghdr **ret, struct error *err)
{
	struct ifinfomsg header = { .ifi_index = name ? 0 : index };
	struct error why = ERROR_INIT;

	netlink_begin(nl, RTM_GETLINK, 0, &header, sizeof(header));
	netlink_put_u32(nl, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (name)
		netlink_put_string(nl, IFLA_IFNAME, name);
	if (netlink_ask(nl, answer, &why)) {
		if (why.os_error == ENODEV) {
			error_clear(&why);
			return 0;
		}
		*err = why;
		return -1;
	}
	*ret = netlink_next(answer, NULL);
	return *ret && nlmsg_datalen(*ret) >= (int)sizeof(header);
}

const struct nlattr *net_link_attribute(const struct nlmsghdr *h, int type, size_t least)
{
	return netlink_find(h, sizeof(struct ifinfomsg), type, least);
}

const char *net_link_name(const struct nlmsghdr *h)
{
	const char *name = netlink_string(net_link_attribute(h, IFLA_IFNAME, 1));

	return name ? name : "?";
}

static const struct nlattr *info(const struct nlmsghdr *h, int type)
{
	return netlink_find_in(net_link_attribute(h, IFLA_LINKINFO, 0), type, 0);
}

const char *net_link_kind_name(const struct nlmsghdr *h)
{
	return netlink_string(info(h, IFLA_INFO_KIND));
}

int net_link_blocked(struct net_link_reader *r, const char *name, const char *reason,
		     const char *remedy, struct error *err)
{
	if (blockers_add(r->blockers, r->pid, reason, remedy, "network link %s", name))
		return error_set(err, ERROR_FAILED, ENOMEM, "links");
	return 0;
}

/* ---- the machine's side ---- */

static int copy_string(char **to, const char *from, struct error *err)
{
	*to = strdup(from);
	return *to ? 0 : error_set(err, ERROR_FAILED, ENOMEM, "links");
}

static int read_attributes(const struct nlmsghdr *h, struct net_attributes to, struct error *err)
{
	return net_attributes_take(to, net_link_form.items, net_link_form.count,
				   nlmsg_attrdata(h, sizeof(struct ifinfomsg)),
				   nlmsg_attrlen(h, sizeof(struct ifinfomsg)), err);
}

static int read_port(const struct nlmsghdr *h, struct net_attributes to, struct error *err)
{
	return net_attributes_take_nest(to, net_port_form.items, net_port_form.count,
					info(h, IFLA_INFO_SLAVE_DATA), err);
}

/* Which bridge of the machine it is a port of. 1, or 0 when it belongs to something else. */
static int read_bridge(struct net_link_reader *r, const struct nlmsghdr *h, NetHostEnd *end,
		       const char *name, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	uint32_t index = netlink_u32(net_link_attribute(h, IFLA_MASTER, 4), 0);
	const struct nlmsghdr *master;
	const char *kind;
	int found;

	if (!index)
		return 1;
	found = net_link_look(&r->host, NULL, index, &answer, &master, err);
	if (found < 0)
		return -1;
	kind = found ? net_link_kind_name(master) : NULL;
	if (!kind || strcmp(kind, "bridge"))
		return net_link_blocked(r, name,
					"its end on the machine is part of a link that is no bridge",
					"take it out of there (ip link set … nomaster)", err);
	if (copy_string(&end->bridge, net_link_name(master), err) ||
	    read_port(h, NET_ATTRIBUTES(end, port), err))
		return -1;
	return 1;
}

int net_host_end_read(struct net_link_reader *r, const char *name, uint32_t index, int host_index,
		      NetHostEnd **ret, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	NetHostEnd *end = *ret = net_message(&net_host_end__descriptor);
	const struct nlmsghdr *h;
	const char *kind;
	int found;

	if (!end)
		return error_set(err, ERROR_FAILED, ENOMEM, "links");
	found = net_link_look(&r->host, NULL, host_index, &answer, &h, err);
	if (found < 0)
		return -1;
	kind = found ? net_link_kind_name(h) : NULL;
	if (!kind || strcmp(kind, "veth") ||
	    netlink_u32(net_link_attribute(h, IFLA_LINK, 4), 0) != index)
		return net_link_blocked(r, name, "its other end cannot be found on this machine", NULL,
					err);
	if (copy_string(&end->name, net_link_name(h), err) ||
	    read_attributes(h, NET_ATTRIBUTES(end, attributes), err))
		return -1;
	end->flags = ((const struct ifinfomsg *)nlmsg_data(h))->ifi_flags & NET_LINK_FLAGS;
	return read_bridge(r, h, end, name, err);
}

/* ---- the tree's side ---- */

/* What cannot be saved of a link of a kind that we know; NULL: nothing. */
static const char *reason_against(const struct nlmsghdr *h)
{
	const struct nlattr *xdp = net_link_attribute(h, IFLA_XDP, 0);
	const struct nlattr *attached = netlink_find_in(xdp, IFLA_XDP_ATTACHED, 1);
	const struct nlattr *filtering =
		netlink_find_in(info(h, IFLA_INFO_DATA), IFLA_BR_VLAN_FILTERING, 1);
	const struct nlattr *persists =
		netlink_find_in(info(h, IFLA_INFO_DATA), IFLA_TUN_PERSIST, 1);
	const char *kind = net_link_kind_name(h);

	if (kind && !strcmp(kind, "tun") && !(persists && nla_get_u8(persists)))
		return "it is there only as long as a program has it open";
	if (attached && nla_get_u8(attached))
		return "an XDP program is attached to it";
	if (kind && !strcmp(kind, "bridge") && filtering && nla_get_u8(filtering))
		return "a bridge with VLAN filtering cannot be saved yet";
	return NULL;
}

/* The link that it stands on, or its other end. 1, or 0 when that was made a blocker. */
static int read_lower(struct net_link_reader *r, const struct nlmsghdr *h,
		      const struct net_link_kind *kind, NetLink *link, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	const struct nlattr *id = net_link_attribute(h, IFLA_LINK_NETNSID, 4);
	uint32_t index = netlink_u32(net_link_attribute(h, IFLA_LINK, 4), 0);
	const struct nlmsghdr *lower;
	int found;

	if (!id) {
		link->has_lower = true;
		link->lower = index;
		return 1;
	}
	if (r->host_id < 0 || (int32_t)netlink_u32(id, -1) != r->host_id)
		return net_link_blocked(r, link->name, kind->lower == LOWER_END ?
					"its other end is in a third network namespace" :
					"it stands on a link in a third network namespace",
					NULL, err);
	if (kind->lower == LOWER_END)
		return net_host_end_read(r, link->name, link->index, index, &link->host_end, err);
	found = net_link_look(&r->host, NULL, index, &answer, &lower, err);
	if (found < 0)
		return -1;
	if (!found)
		return net_link_blocked(r, link->name,
					"the link that it stands on cannot be found on this machine",
					NULL, err);
	return copy_string(&link->host_lower, net_link_name(lower), err) ? -1 : 1;
}

static void read_address_generation(const struct nlmsghdr *h, NetLink *link)
{
	const struct nlattr *inet6 = netlink_find_in(net_link_attribute(h, IFLA_AF_SPEC, 0),
						     AF_INET6, 0);
	const struct nlattr *mode = netlink_find_in(inet6, IFLA_INET6_ADDR_GEN_MODE, 1);

	if (mode) {
		link->has_address_generation = true;
		link->address_generation = nla_get_u8(mode);
	}
}

static int read_link(struct net_link_reader *r, const struct nlmsghdr *h,
		     const struct net_link_kind *kind, NetLink *link, struct error *err)
{
	const struct ifinfomsg *header = nlmsg_data(h);

	link->index = header->ifi_index;
	link->flags = header->ifi_flags & NET_LINK_FLAGS;
	link->has_carrier = link->carrier = header->ifi_flags & IFF_LOWER_UP;
	link->master = netlink_u32(net_link_attribute(h, IFLA_MASTER, 4), 0);
	link->has_master = link->master != 0;
	read_address_generation(h, link);
	if (copy_string(&link->name, net_link_name(h), err) ||
	    read_attributes(h, NET_ATTRIBUTES(link, attributes), err) ||
	    (link->has_master && read_port(h, NET_ATTRIBUTES(link, port), err)))
		return -1;
	if (!kind)
		return 1;
	if (copy_string(&link->kind, kind->name, err) ||
	    net_attributes_take_nest(NET_ATTRIBUTES(link, data), kind->data, kind->data_count,
				     info(h, IFLA_INFO_DATA), err))
		return -1;
	return kind->lower == LOWER_NONE ? 1 : read_lower(r, h, kind, link, err);
}

static int take_link(struct net_link_reader *r, const struct nlmsghdr *h, NetLinks *m,
		     struct error *err)
{
	const struct ifinfomsg *header = nlmsg_data(h);
	const char *name = net_link_name(h), *kind_name = net_link_kind_name(h);
	const struct net_link_kind *kind = kind_name ? net_link_kind(kind_name) : NULL;
	const char *reason = reason_against(h);
	char unknown[100];
	NetLink *link;
	int good;

	if (!kind && !(header->ifi_flags & IFF_LOOPBACK && !kind_name)) {
		snprintf(unknown, sizeof(unknown), "links of kind \"%s\" cannot be saved",
			 kind_name ? kind_name : "device of the machine");
		reason = unknown;
	}
	if (reason)
		return net_link_blocked(r, name, reason, "remove it from the container", err);
	link = net_message(&net_link__descriptor);
	good = link ? read_link(r, h, kind, link, err) :
		      error_set(err, ERROR_FAILED, ENOMEM, "links");
	if (good > 0)
		return net_append(&m->links, &m->n_links, &link->base, err);
	net_message_free(link);
	return good;
}

static const NetLink *numbered(const NetLinks *m, uint32_t index)
{
	size_t i;

	for (i = 0; i < m->n_links; i++)
		if (m->links[i]->index == index)
			return m->links[i];
	return NULL;
}

/* Queueing that somebody has set up has a handle; what a link begins with has none. */
static int check_queueing(struct net_link_reader *r, const NetLinks *m, struct error *err)
{
	_cleanup_buffer_ struct buffer answers = { 0 };
	struct tcmsg header = { .tcm_family = AF_UNSPEC };
	const struct nlmsghdr *h;

	netlink_begin(&r->own, RTM_GETQDISC, NLM_F_DUMP, &header, sizeof(header));
	if (netlink_ask(&r->own, &answers, err))
		return error_wrap(err, "cannot list queueing disciplines");
	netlink_for(h, &answers) {
		const struct tcmsg *q = nlmsg_data(h);
		const NetLink *link;

		if (h->nlmsg_type != RTM_NEWQDISC || nlmsg_datalen(h) < (int)sizeof(*q) ||
		    !q->tcm_handle)
			continue;
		link = numbered(m, q->tcm_ifindex);
		if (link && net_link_blocked(r, link->name,
					     "queueing disciplines and filters (tc) cannot be saved",
					     "remove them: tc qdisc del", err))
			return -1;
	}
	return 0;
}

/* What the machine's namespace is called in ours. */
static int ask_host_id(struct net_link_reader *r, int host_net, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	struct rtgenmsg header = { .rtgen_family = AF_UNSPEC };
	const struct nlmsghdr *h;

	r->host_id = -1;
	netlink_begin(&r->own, RTM_GETNSID, 0, &header, sizeof(header));
	netlink_put_u32(&r->own, NETNSA_FD, host_net);
	if (netlink_ask(&r->own, &answer, err))
		return error_wrap(err, "cannot tell which network namespace is the machine's");
	netlink_for(h, &answer) {
		if (h->nlmsg_type == RTM_NEWNSID)
			r->host_id = netlink_u32(netlink_find(h, sizeof(header), NETNSA_NSID, 4),
						 -1);
	}
	return 0;
}

int net_links_read(struct net_link_reader *r, int host_net, NetLinks *m, struct error *err)
{
	_cleanup_buffer_ struct buffer answers = { 0 };
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	const struct nlmsghdr *h;

	netlink_begin(&r->own, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
	netlink_put_u32(&r->own, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	/* That answer may give the machine's namespace its name. */
	if (netlink_ask(&r->own, &answers, err) || ask_host_id(r, host_net, err))
		return -1;
	netlink_for(h, &answers) {
		if (h->nlmsg_type == RTM_NEWLINK &&
		    nlmsg_datalen(h) >= (int)sizeof(header) && take_link(r, h, m, err))
			return -1;
	}
	return check_queueing(r, m, err);
}
