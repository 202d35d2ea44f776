/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nexthop objects, which routes can share. */
#include <errno.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/array.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

static const struct net_attribute_form attributes[] = {
	NET_FIXED(NHA_ID, 4),
	{ NHA_GROUP, sizeof(struct nexthop_grp), 32768, false, false },
	NET_FIXED(NHA_GROUP_TYPE, 2),
	NET_FIXED(NHA_BLACKHOLE, 0),
	NET_FIXED(NHA_OIF, 4),
	{ NHA_GATEWAY, 4, 16, false, false },
	NET_FIXED(NHA_ENCAP_TYPE, 2),
	{ NHA_ENCAP, 0, 4096, false, true },
	NET_FIXED(NHA_FDB, 0),
};

static bool tidy(NetEntry *e)
{
	struct nhmsg *header = (struct nhmsg *)e->header.data;

	header->nh_scope = 0;
	header->nh_flags &= RTNH_F_ONLINK;
	return true;
}

static int read_nexthops(struct netlink *nl, const struct net_form *form, NetEntries *ret,
			 struct error *err)
{
	struct error why = ERROR_INIT;
	struct nhmsg header = { .nh_family = AF_UNSPEC };

	if (!net_entries_ask(nl, form, &header, ret, &why))
		return 0;
	/* Linux before 5.3 has none. */
	if (why.os_error == EOPNOTSUPP) {
		error_clear(&why);
		return 0;
	}
	*err = why;
	return -1;
}

static const struct net_form form = {
	.what = "nexthop",
	.ask = RTM_GETNEXTHOP,
	.make = RTM_NEWNEXTHOP,
	.remove = RTM_DELNEXTHOP,
	.header_size = sizeof(struct nhmsg),
	.attributes = attributes,
	.attributes_count = ARRAY_SIZE(attributes),
	.read = read_nexthops,
	.tidy = tidy,
	.make_flags = NLM_F_CREATE | NLM_F_EXCL,
};

static int nexthops_dump(struct dump *d, struct error *err)
{
	return net_entries_dump(d, &net_nexthops_kind, &form, err);
}

static int nexthops_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_check(&form, message, err);
}

static int nexthops_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_build(&form, message, err);
}

static const struct container_ops nexthops_container = {
	.of = CLONE_NEWNET,
	.dump = nexthops_dump,
	.prepare = nexthops_prepare,
	.build = nexthops_build,
};

const struct kind net_nexthops_kind = {
	.name = "net-nexthops",
	.record = 0x223,
	.scope = KIND_CONTAINER,
	.message = &net_entries__descriptor,
	.help = "nexthop objects and groups of a container, which its routes share",
	.container = &nexthops_container,
};
