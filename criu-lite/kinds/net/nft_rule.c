/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells of a rule and does not take back as it is. */
#include "kinds/net/nftables.h"

#include <linux/netfilter/nf_tables.h>
#include <arpa/inet.h>
#include <string.h>

#include "kinds/net/netlink.h"

static const char *name_of(const struct nlattr *expression)
{
	const char *name = netlink_string(netlink_find_in(expression, NFTA_EXPR_NAME, 1));

	return name ? name : "";
}

static uint32_t number(const struct nlattr *expression, int type)
{
	const struct nlattr *data = netlink_find_in(expression, NFTA_EXPR_DATA, 0);

	return ntohl(netlink_u32(netlink_find_in(data, type, 4), 0));
}

static NetAttribute *expressions(const NetEntry *rule)
{
	return net_attribute(rule->attributes, rule->n_attributes, NFTA_RULE_EXPRESSIONS);
}

/* No lifetime of what a rule adds to a set is told as one of 0, which a set without lifetimes does
 * not take: it becomes padding. */
static void tidy_expression(const struct nlattr *e)
{
	struct nlattr *life = (struct nlattr *)netlink_find_in(
		netlink_find_in(e, NFTA_EXPR_DATA, 0), NFTA_DYNSET_TIMEOUT, sizeof(uint64_t));

	if (!strcmp(name_of(e), "dynset") && life && !nla_get_u64(life))
		life->nla_type = NFTA_DYNSET_PAD;
}

void nft_rule_tidy(NetEntry *rule)
{
	const NetAttribute *list = expressions(rule);
	const struct nlattr *e;
	int left;

	if (!list)
		return;
	nla_for_each_attr(e, (struct nlattr *)list->value.data, (int)list->value.len, left)
		tidy_expression(e);
}

/* Whether it loads the number of the protocol above IP. */
static bool loads_protocol(const struct nlattr *e)
{
	uint32_t offset;

	if (!strcmp(name_of(e), "meta"))
		return number(e, NFTA_META_KEY) == NFT_META_L4PROTO;
	if (strcmp(name_of(e), "payload") ||
	    number(e, NFTA_PAYLOAD_BASE) != NFT_PAYLOAD_NETWORK_HEADER ||
	    number(e, NFTA_PAYLOAD_LEN) != 1)
		return false;
	/* In a header of IPv4, and of IPv6. */
	offset = number(e, NFTA_PAYLOAD_OFFSET);
	return offset == 9 || offset == 6;
}

static bool compares(const struct nlattr *e, uint32_t *ret)
{
	const struct nlattr *data = netlink_find_in(e, NFTA_EXPR_DATA, 0);
	const struct nlattr *value = netlink_find_in(netlink_find_in(data, NFTA_CMP_DATA, 0),
						     NFTA_DATA_VALUE, 1);

	if (strcmp(name_of(e), "cmp") || number(e, NFTA_CMP_OP) != NFT_CMP_EQ || !value)
		return false;
	*ret = nla_get_u8(value);
	return true;
}

/*
 * Parts of xtables (made by iptables-nft) are partly taken only for a protocol, which is said when
 * the rule is made and not told afterwards. It is in what the rule compares before.
 */
bool nft_rule_protocol(const NetEntry *rule, uint32_t *ret)
{
	const NetAttribute *list = expressions(rule);
	bool loaded = false, known = false, foreign = false;
	const struct nlattr *e;
	int left;

	if (!list)
		return false;
	nla_for_each_attr(e, (struct nlattr *)list->value.data, (int)list->value.len, left)
	{
		if (loaded && !known)
			known = compares(e, ret);
		loaded = loads_protocol(e);
		foreign |= !strcmp(name_of(e), "match") || !strcmp(name_of(e), "target");
	}
	return known && foreign;
}
