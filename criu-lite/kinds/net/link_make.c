/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the links of a network namespace. All are down until their settings are there. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kinds/net/link.h"
#include "kinds/restore.h"

struct maker {
	const struct restore *r;
	struct netlink *own, *host;
	int here;		/* our network namespace */
	const NetLinks *m;
	bool *made;		/* by position in m->links */
};

void net_link_put(struct netlink *nl, const struct net_link_form *form,
		  NetAttribute *const *items, size_t count)
{
	size_t i;

	for (i = 0; i < form->count; i++) {
		NetAttribute *a = net_attribute(items, count, form->items[i].type);

		if (a)
			net_attributes_put(nl, form->items, form->count, &a, 1);
	}
}

static void begin_link(struct netlink *nl, uint32_t index, const char *name, const NetLink *link)
{
	struct ifinfomsg header = { .ifi_index = index };

	netlink_begin(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	netlink_put_string(nl, IFLA_IFNAME, name);
	net_link_put(nl, &net_link_form, link->attributes, link->n_attributes);
}

static int wrap(const char *name, struct error *err)
{
	return error_wrap(err, "network link %s: cannot be made", name);
}

/* ---- by kind ---- */

/* One end with the other: which is in our namespace, or the machine's. */
static int make_ends(struct maker *k, const NetLink *link, const NetLink *other, struct error *err)
{
	const NetHostEnd *end = link->host_end;
	const char *name = end ? net_host_name(k->r, end->name) : other->name;
	struct ifinfomsg header = { .ifi_index = end ? 0 : other->index };

	if (end && net_host_place(k->host, name, err))
		return wrap(link->name, err);
	begin_link(k->own, link->index, link->name, link);
	netlink_nest(k->own, IFLA_LINKINFO);
	netlink_put_string(k->own, IFLA_INFO_KIND, "veth");
	netlink_nest(k->own, IFLA_INFO_DATA);
	netlink_nest_header(k->own, VETH_INFO_PEER, &header, sizeof(header));
	netlink_put_string(k->own, IFLA_IFNAME, name);
	if (end) {
		netlink_put_u32(k->own, IFLA_NET_NS_FD, k->r->container.host_net);
		net_link_put(k->own, &net_link_form, end->attributes, end->n_attributes);
	} else {
		net_link_put(k->own, &net_link_form, other->attributes, other->n_attributes);
	}
	netlink_nest_end(k->own);
	netlink_nest_end(k->own);
	netlink_nest_end(k->own);
	return netlink_ask(k->own, NULL, err) ? wrap(link->name, err) : 0;
}

static void put_kind(struct netlink *nl, const NetLink *link)
{
	const struct net_link_kind *kind = net_link_kind(link->kind);

	netlink_nest(nl, IFLA_LINKINFO);
	netlink_put_string(nl, IFLA_INFO_KIND, kind->name);
	if (link->n_data) {
		netlink_nest(nl, IFLA_INFO_DATA);
		net_attributes_put(nl, kind->data, kind->data_count, link->data, link->n_data);
		netlink_nest_end(nl);
	}
	netlink_nest_end(nl);
}

/* What stands on a link of the machine is made there, and then comes here under its own number,
 * which might be taken there. */
static int make_on_host(struct maker *k, const NetLink *link, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	const char *lower = net_host_name(k->r, link->host_lower);
	struct ifinfomsg header = { 0 };
	const struct nlmsghdr *h;
	char name[IFNAMSIZ];
	int found = net_link_look(k->host, lower, 0, &answer, &h, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERROR_BLOCKED, ENODEV, "link %s of this machine", lower);
	header.ifi_index = ((const struct ifinfomsg *)nlmsg_data(h))->ifi_index;
	snprintf(name, sizeof(name), "cl%x.%x", (unsigned int)k->r->container.host_pid,
		 link->index & 0xffff);
	begin_link(k->host, 0, name, link);
	netlink_put_u32(k->host, IFLA_LINK, header.ifi_index);
	put_kind(k->host, link);
	if (netlink_ask(k->host, NULL, err))
		return wrap(link->name, err);
	header.ifi_index = 0;
	netlink_begin(k->host, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_put_string(k->host, IFLA_IFNAME, name);
	netlink_put_u32(k->host, IFLA_NET_NS_FD, k->here);
	netlink_put_u32(k->host, IFLA_NEW_IFINDEX, link->index);
	if (netlink_ask(k->host, NULL, err))
		return error_wrap(err, "network link %s: cannot be moved into the container",
				  link->name);
	header.ifi_index = link->index;
	netlink_begin(k->own, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_put_string(k->own, IFLA_IFNAME, link->name);
	return netlink_ask(k->own, NULL, err) ? wrap(link->name, err) : 0;
}

static int make_here(struct maker *k, const NetLink *link, struct error *err)
{
	begin_link(k->own, link->index, link->name, link);
	if (link->has_lower)
		netlink_put_u32(k->own, IFLA_LINK, link->lower);
	put_kind(k->own, link);
	return netlink_ask(k->own, NULL, err) ? wrap(link->name, err) : 0;
}

static int make_tun(struct maker *k, const NetLink *link, struct error *err)
{
	NetAttribute *address = net_attribute(link->attributes, link->n_attributes, IFLA_ADDRESS);
	struct ifinfomsg header = { .ifi_index = link->index };

	if (net_tun_make(&k->r->container, link, err))
		return wrap(link->name, err);
	if (!address)
		return 0;
	netlink_begin(k->own, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_put(k->own, IFLA_ADDRESS, address->value.data, address->value.len);
	return netlink_ask(k->own, NULL, err) ? wrap(link->name, err) : 0;
}

/* ---- all of them ---- */

static size_t position(const NetLinks *m, uint32_t index)
{
	size_t i = 0;

	while (i < m->n_links && m->links[i]->index != index)
		i++;
	return i;
}

/* Makes link i if what it needs is there. 1: made, 0: not yet. */
static int make(struct maker *k, size_t i, struct error *err)
{
	const NetLink *link = k->m->links[i];
	size_t lower = link->has_lower ? position(k->m, link->lower) : 0;
	int result = 0;

	if (!link->kind) {
		/* The loopback is there. */
	} else if (net_link_kind(link->kind)->lower == LOWER_END) {
		result = make_ends(k, link, link->host_end ? NULL : k->m->links[lower], err);
		if (!link->host_end)
			k->made[lower] = true;
	} else if (link->host_lower) {
		result = make_on_host(k, link, err);
	} else {
		if (link->has_lower && !k->made[lower])
			return 0;
		result = !strcmp(link->kind, "tun") ? make_tun(k, link, err) :
						      make_here(k, link, err);
	}
	k->made[i] = true;
	return result ? -1 : 1;
}

/* What a link takes only when it is there; and no addresses of its own accord until the end. */
static int set_later(struct maker *k, const NetLink *link, struct error *err)
{
	struct ifinfomsg header = { .ifi_index = link->index };

	netlink_begin(k->own, RTM_SETLINK, 0, &header, sizeof(header));
	net_link_put(k->own, &net_link_form_later, link->attributes, link->n_attributes);
	if (link->has_address_generation) {
		netlink_nest(k->own, IFLA_AF_SPEC);
		netlink_nest(k->own, AF_INET6);
		netlink_put_u8(k->own, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		netlink_nest_end(k->own);
		netlink_nest_end(k->own);
	}
	if (netlink_ask(k->own, NULL, err))
		return error_wrap(err, "network link %s: cannot be set up", link->name);
	return 0;
}

int net_port_set(struct netlink *nl, uint32_t index, const char *name, uint32_t bridge,
		 NetAttribute *const *port, size_t count, struct error *err)
{
	struct ifinfomsg header = { .ifi_index = index };

	netlink_begin(nl, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_put_u32(nl, IFLA_MASTER, bridge);
	if (netlink_ask(nl, NULL, err))
		return error_wrap(err, "network link %s: cannot join its bridge", name);
	if (!count)
		return 0;
	netlink_begin(nl, RTM_NEWLINK, 0, &header, sizeof(header));
	netlink_nest(nl, IFLA_LINKINFO);
	netlink_put_string(nl, IFLA_INFO_SLAVE_KIND, "bridge");
	netlink_nest(nl, IFLA_INFO_SLAVE_DATA);
	net_attributes_put(nl, net_port_form.items, net_port_form.count, port, count);
	netlink_nest_end(nl);
	netlink_nest_end(nl);
	if (netlink_ask(nl, NULL, err))
		return error_wrap(err, "network link %s: cannot set up the bridge's port", name);
	return 0;
}

static int make_all(struct maker *k, struct error *err)
{
	size_t i, done, before;

	for (done = 0; done < k->m->n_links;) {
		before = done;
		for (i = done = 0; i < k->m->n_links; i++) {
			if (!k->made[i] && make(k, i, err) < 0)
				return -1;
			done += k->made[i];
		}
		if (done == before)
			return error_set(err, ERROR_IMAGE, 0,
					 "network links stand on one another in a circle");
	}
	return 0;
}

int net_links_make(const struct restore *r, struct netlink *own, struct netlink *host,
		   const NetLinks *m, struct error *err)
{
	_cleanup_fd_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ bool *made = calloc(m->n_links + 1, sizeof(*made));
	struct maker k = { .r = r, .own = own, .host = host, .here = here, .m = m, .made = made };
	size_t i;

	if (here < 0 || !made)
		return error_set(err, ERROR_FAILED, made ? errno : ENOMEM, "network links");
	if (make_all(&k, err))
		return -1;
	for (i = 0; i < m->n_links; i++) {
		const NetHostEnd *end = m->links[i]->host_end;

		if (set_later(&k, m->links[i], err) ||
		    (end && net_host_end_set(r, host, end, err)))
			return -1;
	}
	for (i = 0; i < m->n_links; i++) {
		const NetLink *l = m->links[i];

		if (l->has_master && net_port_set(own, l->index, l->name, l->master, l->port,
						  l->n_port, err))
			return -1;
	}
	return 0;
}
