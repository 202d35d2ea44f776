/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of all tables. */
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

static const struct net_attribute_form attributes[] = {
	{ RTA_DST, 4, 16, false, false },
	{ RTA_SRC, 4, 16, false, false },
	NET_FIXED(RTA_OIF, 4),
	{ RTA_GATEWAY, 4, 16, false, false },
	NET_FIXED(RTA_PRIORITY, 4),
	{ RTA_PREFSRC, 4, 16, false, false },
	{ RTA_METRICS, 0, 1024, false, true },
	{ RTA_MULTIPATH, sizeof(struct rtnexthop), 32768, false, false },
	NET_FIXED(RTA_FLOW, 4),
	NET_FIXED(RTA_CACHEINFO, sizeof(struct rta_cacheinfo)),
	NET_FIXED(RTA_TABLE, 4),
	{ RTA_VIA, 2, 32, false, false },
	NET_FIXED(RTA_PREF, 1),
	NET_FIXED(RTA_ENCAP_TYPE, 2),
	{ RTA_ENCAP, 0, 4096, false, true },
	NET_FIXED(RTA_EXPIRES, 4),
	NET_FIXED(RTA_NH_ID, 4),
};

/* Flags that the kernel takes; the others tell of the moment. */
static const unsigned int flags_set = RTNH_F_ONLINK | RTNH_F_PERVASIVE;

static void tidy_multipath(NetAttribute *a)
{
	struct rtnexthop *hop = (struct rtnexthop *)a->value.data;
	int left = a->value.len;

	while (left >= (int)sizeof(*hop) && RTNH_OK(hop, left)) {
		hop->rtnh_flags &= flags_set;
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

/* Seconds that a route still has, as they are set; told in clock ticks among what it has used. */
static void tidy_lifetime(NetEntry *e)
{
	NetAttribute *a = net_attribute(e->attributes, e->n_attributes, RTA_CACHEINFO);
	struct rta_cacheinfo info;
	uint32_t seconds;

	if (!a)
		return;
	memcpy(&info, a->value.data, sizeof(info));
	seconds = info.rta_expires > 0 ? info.rta_expires / sysconf(_SC_CLK_TCK) : 0;
	if (!seconds) {
		net_entry_drop(e, RTA_CACHEINFO);
		return;
	}
	memcpy(a->value.data, &seconds, sizeof(seconds));
	a->value.len = sizeof(seconds);
	a->type = RTA_EXPIRES;
	net_entry_sort(e);
}

static bool is_made_by_kernel(const struct rtmsg *header)
{
	if (header->rtm_protocol != RTPROT_KERNEL)
		return false;
	return header->rtm_table == RT_TABLE_LOCAL || header->rtm_type == RTN_LOCAL ||
	       header->rtm_type == RTN_BROADCAST || header->rtm_type == RTN_ANYCAST ||
	       header->rtm_type == RTN_MULTICAST || header->rtm_type == RTN_UNREACHABLE;
}

static bool tidy(NetEntry *e)
{
	struct rtmsg *header = (struct rtmsg *)e->header.data;
	NetAttribute *multipath = net_attribute(e->attributes, e->n_attributes, RTA_MULTIPATH);

	if (header->rtm_flags & RTM_F_CLONED || is_made_by_kernel(header))
		return false;
	header->rtm_flags &= flags_set;
	tidy_lifetime(e);
	if (multipath)
		tidy_multipath(multipath);
	if (net_attribute(e->attributes, e->n_attributes, RTA_NH_ID)) {
		/* The object says where to; said twice it is refused. */
		header->rtm_flags = 0;
		net_entry_drop(e, RTA_OIF);
		net_entry_drop(e, RTA_GATEWAY);
		net_entry_drop(e, RTA_VIA);
		net_entry_drop(e, RTA_MULTIPATH);
		net_entry_drop(e, RTA_ENCAP);
		net_entry_drop(e, RTA_ENCAP_TYPE);
	}
	return true;
}

static const struct net_form form = {
	.what = "route",
	.ask = RTM_GETROUTE,
	.make = RTM_NEWROUTE,
	.remove = RTM_DELROUTE,
	.header_size = sizeof(struct rtmsg),
	.attributes = attributes,
	.attributes_count = ARRAY_SIZE(attributes),
	.read = net_entries_ask_ip,
	.tidy = tidy,
	/* Several IPv4 routes to the same are kept apart in their order; IPv6 ones with several
	 * ways come as one. */
	.make_flags = NLM_F_CREATE | NLM_F_APPEND,
	.make_flags_ip6 = NLM_F_CREATE | NLM_F_EXCL,
};

static int routes_dump(struct dump *d, struct error *err)
{
	return net_entries_dump(d, &net_routes_kind, &form, err);
}

static int routes_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_check(&form, message, err);
}

static int routes_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_build(&form, message, err);
}

static const struct container_ops routes_container = {
	.of = CLONE_NEWNET,
	.dump = routes_dump,
	.prepare = routes_prepare,
	.build = routes_build,
};

const struct kind net_routes_kind = {
	.name = "net-routes",
	.record = 0x224,
	.scope = KIND_CONTAINER,
	.message = &net_entries__descriptor,
	.help = "routes of all tables of a container, with metrics and several ways",
	.container = &routes_container,
};
