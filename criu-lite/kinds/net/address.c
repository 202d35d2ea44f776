/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of a network namespace's links. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

enum { ADDRESS_WAIT_MS = 1000 };

static const struct net_attribute_form attributes[] = {
	{ IFA_ADDRESS, 4, 16, false, false },
	{ IFA_LOCAL, 4, 16, false, false },
	NET_TEXT(IFA_LABEL, IFNAMSIZ),
	NET_FIXED(IFA_BROADCAST, 4),
	NET_FIXED(IFA_CACHEINFO, sizeof(struct ifa_cacheinfo)),
	NET_FIXED(IFA_FLAGS, 4),
	NET_FIXED(IFA_RT_PRIORITY, 4),
	NET_FIXED(IFA_PROTO, 1),
};

/* What passes with time is no state, and duplicates were looked for when it was new. */
static bool tidy(NetEntry *e)
{
	struct ifaddrmsg *header = (struct ifaddrmsg *)e->header.data;
	NetAttribute *a = net_attribute(e->attributes, e->n_attributes, IFA_FLAGS);
	uint32_t flags;

	header->ifa_flags = 0;
	if (a) {
		memcpy(&flags, a->value.data, sizeof(flags));
		flags &= ~(uint32_t)(IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_OPTIMISTIC |
				     IFA_F_DEPRECATED);
		memcpy(a->value.data, &flags, sizeof(flags));
	}
	a = net_attribute(e->attributes, e->n_attributes, IFA_CACHEINFO);
	if (a) {
		struct ifa_cacheinfo life;

		memcpy(&life, a->value.data, sizeof(life));
		life.cstamp = life.tstamp = 0;
		memcpy(a->value.data, &life, sizeof(life));
	}
	return true;
}

static int read_addresses(struct netlink *nl, const struct net_form *form, NetEntries *ret,
			  struct error *err)
{
	size_t first = 0, last;

	if (net_entries_ask_ip(nl, form, ret, err))
		return -1;
	while (first < ret->n_entries && ret->entries[first]->header.data[0] == AF_INET)
		first++;
	/* The kernel puts a new IPv6 address before those that it had. */
	for (last = ret->n_entries; first + 1 < last; first++) {
		NetEntry *e = ret->entries[first];

		ret->entries[first] = ret->entries[--last];
		ret->entries[last] = e;
	}
	return 0;
}

static const struct net_form form = {
	.what = "address",
	.ask = RTM_GETADDR,
	.make = RTM_NEWADDR,
	.remove = RTM_DELADDR,
	.header_size = sizeof(struct ifaddrmsg),
	.attributes = attributes,
	.attributes_count = ARRAY_SIZE(attributes),
	.read = read_addresses,
	.tidy = tidy,
	.make_flags = NLM_F_CREATE | NLM_F_REPLACE,
};

static int addresses_dump(struct dump *d, struct error *err)
{
	return net_entries_dump(d, &net_addresses_kind, &form, err);
}

static int addresses_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_check(&form, message, err);
}

/* ---- duplicate address detection ---- */

/* Links that do not look for duplicates for now: the address has been ours all the time, and a
 * program that comes back must be able to use it at once. */
struct silenced {
	ARRAY_OF(struct silenced_link {
		char name[IFNAMSIZ];
		char value[16];		/* that accept_dad had */
	}) links;
};

static void dad_name(char to[64], const char *link)
{
	snprintf(to, 64, "ipv6/conf/%s/accept_dad", link);
}

static int silence(struct silenced *s, const char *link, struct error *err)
{
	_cleanup_buffer_ struct buffer value = { 0 };
	struct silenced_link *l;
	char name[64];

	array_for(l, &s->links)
		if (!strcmp(l->name, link))
			return 0;
	dad_name(name, link);
	/* A link without IPv6. */
	if (net_sysctl_read(name, &value) || value.size >= sizeof(l->value))
		return 0;
	l = array_add(&s->links);
	if (!l)
		return error_set(err, ERROR_FAILED, ENOMEM, "addresses");
	snprintf(l->name, sizeof(l->name), "%s", link);
	snprintf(l->value, sizeof(l->value), "%s", value.data);
	if (net_sysctl_write(name, "0"))
		return error_set(err, ERROR_FAILED, errno, "cannot set net/%s", name);
	return 0;
}

static int silence_all(struct silenced *s, const NetEntries *m, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_entries; i++) {
		const struct ifaddrmsg *header =
			(const struct ifaddrmsg *)m->entries[i]->header.data;
		char name[IF_NAMESIZE];

		if (header->ifa_family == AF_INET6 && if_indextoname(header->ifa_index, name) &&
		    (silence(s, "all", err) || silence(s, name, err)))
			return -1;
	}
	return 0;
}

static int unsilence(struct silenced *s, struct error *err)
{
	struct silenced_link *l;
	int result = 0;

	array_for(l, &s->links) {
		char name[64];

		dad_name(name, l->name);
		if (net_sysctl_write(name, l->value))
			result = error_set(err, ERROR_FAILED, errno, "cannot set net/%s", name);
	}
	array_release(&s->links);
	return result;
}

/* The kernel completes an IPv6 address a moment later; until then nobody can use it. */
static int wait_for_addresses(struct netlink *nl, struct error *err)
{
	uint64_t end = now_ns() + ADDRESS_WAIT_MS * 1000000ull;
	struct ifaddrmsg header = { .ifa_family = AF_INET6 };

	for (;;) {
		_cleanup_buffer_ struct buffer answers = { 0 };
		const struct nlmsghdr *h;
		bool tentative = false;

		netlink_begin(nl, RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
		if (netlink_ask(nl, &answers, err))
			return error_wrap(err, "cannot list addresses");
		netlink_for(h, &answers) {
			tentative |= netlink_u32(netlink_find(h, sizeof(header), IFA_FLAGS, 4), 0) &
				     IFA_F_TENTATIVE;
		}
		if (!tentative || now_ns() > end)
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
}

static int addresses_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	_cleanup_netlink_ struct netlink nl = { 0 };
	struct silenced silenced = { 0 };
	int result;

	if (netlink_open(&nl, NETLINK_ROUTE, err))
		return -1;
	result = silence_all(&silenced, (const NetEntries *)message, err) ||
		 net_links_raise(r, &nl, err) || net_entries_build(&form, message, err) ||
		 wait_for_addresses(&nl, err);
	return unsilence(&silenced, err) || result ? -1 : 0;
}

static const struct container_ops addresses_container = {
	.of = CLONE_NEWNET,
	.dump = addresses_dump,
	.prepare = addresses_prepare,
	.build = addresses_build,
};

const struct kind net_addresses_kind = {
	.name = "net-addresses",
	.record = 0x222,
	.scope = KIND_CONTAINER,
	.message = &net_entries__descriptor,
	.help = "IPv4 and IPv6 addresses of a container's links",
	.container = &addresses_container,
};
