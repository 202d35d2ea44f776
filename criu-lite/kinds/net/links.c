/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The links (interfaces) of a network namespace of its own, and the ends of them on the machine. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/dump.h"
#include "kinds/net/link.h"
#include "kinds/restore.h"

enum { LINKS_MAX = 4096 };

static void message_free(NetLinks **m)
{
	net_message_free(*m);
}

#define _cleanup_links_message_ __attribute__((cleanup(message_free)))

/* ---- saving ---- */

static void reader_release(struct net_link_reader *r)
{
	netlink_release(&r->own);
	netlink_release(&r->host);
}

/* All links with what is against saving them. */
static int look(const struct container *c, pid_t pid, struct blockers *blockers, NetLinks **ret,
		struct error *err)
{
	__attribute__((cleanup(reader_release))) struct net_link_reader r = {
		.blockers = blockers,
		.pid = pid,
	};

	*ret = net_message(&net_links__descriptor);
	if (!*ret)
		return error_set(err, ERROR_FAILED, ENOMEM, "network links");
	if (netlink_open(&r.own, NETLINK_ROUTE, err) || net_open_host(c, &r.host, err))
		return -1;
	return net_links_read(&r, c->host_net, *ret, err);
}

static int links_check(const struct container_look *look_at, struct blockers *blockers,
		       struct error *err)
{
	_cleanup_links_message_ NetLinks *m = NULL;

	if (!net_is_own(look_at->container))
		return 0;
	return look(look_at->container, look_at->tasks[0].pid, blockers, &m, err);
}

static int links_dump(struct dump *d, struct error *err)
{
	_cleanup_links_message_ NetLinks *m = NULL;
	struct blockers blockers = { 0 };
	int result;

	if (!net_is_own(&d->container))
		return 0;
	/* A link may have come since the preflight. */
	result = look(&d->container, d->tasks.count ? d->tasks.items[0]->pid : 0, &blockers, &m,
		      err) ||
		 blockers_error(&blockers, err);
	blockers_release(&blockers);
	return result ? -1 : dump_container(d, &net_links_kind, &m->base, err);
}

/* ---- checking what is foreign ---- */

static const NetLink *by_index(const NetLinks *m, uint32_t index)
{
	size_t i;

	for (i = 0; i < m->n_links; i++)
		if (m->links[i]->index == index)
			return m->links[i];
	return NULL;
}

static bool attributes_valid(const struct net_link_form *form, NetAttribute *const *items,
			     size_t count)
{
	return net_attributes_valid(form->items, form->count, items, count);
}

static bool end_valid(const NetHostEnd *end)
{
	return net_link_name_valid(end->name) && !(end->flags & ~NET_LINK_FLAGS) &&
	       (!end->bridge || net_link_name_valid(end->bridge)) &&
	       attributes_valid(&net_link_form, end->attributes, end->n_attributes) &&
	       attributes_valid(&net_port_form, end->port, end->n_port);
}

/* What it stands on, or its other end. */
static bool lower_valid(const NetLinks *m, const NetLink *link, const struct net_link_kind *kind)
{
	const NetLink *lower = link->has_lower ? by_index(m, link->lower) : NULL;

	if (link->has_lower && (!lower || lower == link))
		return false;
	if (link->host_lower && !net_link_name_valid(link->host_lower))
		return false;
	switch (kind ? kind->lower : LOWER_NONE) {
	case LOWER_NONE:
		return !lower && !link->host_lower && !link->host_end;
	case LOWER_NEEDED:
		return !lower != !link->host_lower && !link->host_end;
	case LOWER_END:
		if (link->host_end)
			return !lower && !link->host_lower && end_valid(link->host_end);
		return lower && !link->host_lower && lower->kind && !lower->host_end &&
		       !strcmp(lower->kind, link->kind) && lower->has_lower &&
		       lower->lower == link->index;
	}
	return false;
}

static bool link_valid(const NetLinks *m, const NetLink *link)
{
	const struct net_link_kind *kind = link->kind ? net_link_kind(link->kind) : NULL;
	const NetLink *master = link->has_master ? by_index(m, link->master) : NULL;

	if (!kind && (link->kind || link->index != 1 || link->n_data))
		return false;
	if (link->index == 0 || link->index > INT32_MAX || by_index(m, link->index) != link ||
	    !net_link_name_valid(link->name) || link->flags & ~NET_LINK_FLAGS)
		return false;
	if (link->has_master && (!master || !master->kind || strcmp(master->kind, "bridge")))
		return false;
	return attributes_valid(&net_link_form, link->attributes, link->n_attributes) &&
	       attributes_valid(&net_port_form, link->port, link->n_port) &&
	       (!kind || net_attributes_valid(kind->data, kind->data_count, link->data,
					      link->n_data)) &&
	       link->address_generation <= UINT8_MAX && lower_valid(m, link, kind);
}

/* ---- making ---- */

static int links_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const NetLinks *m = (const NetLinks *)message;
	_cleanup_netlink_ struct netlink host = { 0 };
	size_t i;

	if (m->n_links > LINKS_MAX)
		return error_set(err, ERROR_IMAGE, 0, "%zu network links", m->n_links);
	for (i = 0; i < m->n_links; i++)
		if (!link_valid(m, m->links[i]))
			return error_set(err, ERROR_IMAGE, 0, "network link %zu: bad message", i);
	if (r->only_look)
		return 0;
	if (netlink_open(&host, NETLINK_ROUTE, err))
		return -1;
	for (i = 0; i < m->n_links; i++)
		if (net_host_check(r, &host, m->links[i], err))
			return -1;
	return 0;
}

static int links_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	_cleanup_netlink_ struct netlink own = { 0 }, host = { 0 };

	if (netlink_open(&own, NETLINK_ROUTE, err) || net_open_host(&r->container, &host, err))
		return -1;
	return net_links_make(r, &own, &host, (const NetLinks *)message, err);
}

static int raise_link(struct netlink *nl, const NetLink *link, struct error *err)
{
	struct ifinfomsg header = {
		.ifi_index = link->index,
		.ifi_flags = link->flags,
		.ifi_change = NET_LINK_FLAGS,
	};

	netlink_begin(nl, RTM_SETLINK, 0, &header, sizeof(header));
	if (netlink_ask(nl, NULL, err))
		return error_wrap(err, "network link %s: cannot be brought up", link->name);
	return 0;
}

/* Returns how many could not be; *why tells of the first of them. */
static size_t raise_all(struct netlink *nl, const NetLinks *m, struct error *why)
{
	size_t i, left = 0;

	for (i = 0; i < m->n_links; i++) {
		struct error e = ERROR_INIT;

		if (!raise_link(nl, m->links[i], &e))
			continue;
		if (left++)
			error_clear(&e);
		else
			*why = e;
	}
	return left;
}

int net_links_raise(struct restore *r, struct netlink *nl, struct error *err)
{
	const NetLinks *m = (const NetLinks *)restore_container_state(r, &net_links_kind);
	size_t left, before = SIZE_MAX;

	/* What stands on another link comes up after that. */
	while (m) {
		struct error why = ERROR_INIT;

		left = raise_all(nl, m, &why);
		if (!left)
			break;
		if (left == before) {
			*err = why;
			return -1;
		}
		error_clear(&why);
		before = left;
	}
	return 0;
}

/* From now on the kernel may give it addresses again as it did. */
static int allow_addresses(struct netlink *own, const NetLink *link, struct error *err)
{
	struct ifinfomsg header = { .ifi_index = link->index };

	if (!link->has_address_generation)
		return 0;
	netlink_begin(own, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_nest(own, IFLA_AF_SPEC);
	netlink_nest(own, AF_INET6);
	netlink_put_u8(own, IFLA_INET6_ADDR_GEN_MODE, link->address_generation);
	netlink_nest_end(own);
	netlink_nest_end(own);
	if (netlink_ask(own, NULL, err))
		return error_wrap(err, "network link %s: cannot be set up", link->name);
	return 0;
}

static int links_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	_cleanup_netlink_ struct netlink own = { 0 };
	const NetLinks *m = (const NetLinks *)message;
	size_t i;

	if (netlink_open(&own, NETLINK_ROUTE, err))
		return -1;
	for (i = 0; i < m->n_links; i++) {
		const NetLink *link = m->links[i];

		/* Else the carrier would bring addresses that it did not have. */
		if (link->carrier && link->flags & IFF_UP)
			net_link_wait(&own, link->index);
		if (allow_addresses(&own, link, err))
			return -1;
	}
	return 0;
}

static void links_open(struct restore *r, const ProtobufCMessage *message)
{
	_cleanup_netlink_ struct netlink host = { 0 };
	_cleanup_error_ struct error why = ERROR_INIT;
	const NetLinks *m = (const NetLinks *)message;
	size_t i;

	if (net_open_host(&r->container, &host, &why)) {
		log_notice("the container is not connected: %s", why.message);
		return;
	}
	for (i = 0; i < m->n_links; i++) {
		if (m->links[i]->host_end &&
		    net_host_end_open(r, &host, m->links[i]->host_end, &why))
			log_notice("the container is not connected: %s", why.message);
		error_clear(&why);
	}
}

static const struct container_ops links_container = {
	.of = CLONE_NEWNET,
	.always = true,
	.check = links_check,
	.dump = links_dump,
	.prepare = links_prepare,
	.build = links_build,
	.finish = links_finish,
	.open = links_open,
};

const struct kind net_links_kind = {
	.name = "net-links",
	.record = 0x220,
	.scope = KIND_CONTAINER,
	.message = &net_links__descriptor,
	.help = "links of a container (veth, bridge, macvlan, vlan …) and their ends on the machine",
	.container = &links_container,
};
