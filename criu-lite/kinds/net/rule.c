/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routing rules: which table is asked for what. */
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include "base/array.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

static const struct net_attribute_form attributes[] = {
	{ FRA_DST, 4, 16, false, false },
	{ FRA_SRC, 4, 16, false, false },
	NET_TEXT(FRA_IIFNAME, IFNAMSIZ),
	NET_FIXED(FRA_GOTO, 4),
	NET_FIXED(FRA_PRIORITY, 4),
	NET_FIXED(FRA_FWMARK, 4),
	NET_FIXED(FRA_FLOW, 4),
	NET_FIXED(FRA_TUN_ID, 8),
	NET_FIXED(FRA_SUPPRESS_IFGROUP, 4),
	NET_FIXED(FRA_SUPPRESS_PREFIXLEN, 4),
	NET_FIXED(FRA_TABLE, 4),
	NET_FIXED(FRA_FWMASK, 4),
	NET_TEXT(FRA_OIFNAME, IFNAMSIZ),
	NET_FIXED(FRA_L3MDEV, 1),
	NET_FIXED(FRA_UID_RANGE, sizeof(struct fib_rule_uid_range)),
	NET_FIXED(FRA_PROTOCOL, 1),
	NET_FIXED(FRA_IP_PROTO, 1),
	NET_FIXED(FRA_SPORT_RANGE, sizeof(struct fib_rule_port_range)),
	NET_FIXED(FRA_DPORT_RANGE, sizeof(struct fib_rule_port_range)),
};

static bool tidy(NetEntry *e)
{
	struct fib_rule_hdr *header = (struct fib_rule_hdr *)e->header.data;

	/* The others tell of the moment. */
	header->flags &= FIB_RULE_INVERT;
	header->res1 = header->res2 = 0;
	return true;
}

static const struct net_form form = {
	.what = "rule",
	.ask = RTM_GETRULE,
	.make = RTM_NEWRULE,
	.remove = RTM_DELRULE,
	.header_size = sizeof(struct fib_rule_hdr),
	.attributes = attributes,
	.attributes_count = ARRAY_SIZE(attributes),
	.read = net_entries_ask_ip,
	.tidy = tidy,
	.make_flags = NLM_F_CREATE | NLM_F_EXCL,
};

static int rules_dump(struct dump *d, struct error *err)
{
	return net_entries_dump(d, &net_rules_kind, &form, err);
}

static int rules_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_check(&form, message, err);
}

static int rules_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_build(&form, message, err);
}

static const struct container_ops rules_container = {
	.of = CLONE_NEWNET,
	.dump = rules_dump,
	.prepare = rules_prepare,
	.build = rules_build,
};

const struct kind net_rules_kind = {
	.name = "net-rules",
	.record = 0x225,
	.scope = KIND_CONTAINER,
	.message = &net_entries__descriptor,
	.help = "routing rules of a container",
	.container = &rules_container,
};
