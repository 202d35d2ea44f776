/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a link is state, by its kind. */
#include <ctype.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/array.h"
#include "kinds/net/link.h"

static const struct net_attribute_form link_attributes[] = {
	{ IFLA_ADDRESS, 1, 32, false, false },
	NET_FIXED(IFLA_MTU, 4),
	NET_FIXED(IFLA_TXQLEN, 4),
	NET_FIXED(IFLA_LINKMODE, 1),
	NET_TEXT(IFLA_IFALIAS, 256),
	NET_FIXED(IFLA_GROUP, 4),
	NET_FIXED(IFLA_NUM_TX_QUEUES, 4),
	NET_FIXED(IFLA_NUM_RX_QUEUES, 4),
	NET_FIXED(IFLA_GSO_MAX_SEGS, 4),
	NET_FIXED(IFLA_GSO_MAX_SIZE, 4),
};

static const struct net_attribute_form later_attributes[] = {
	NET_FIXED(IFLA_MTU, 4),
	NET_FIXED(IFLA_TXQLEN, 4),
	NET_FIXED(IFLA_LINKMODE, 1),
	NET_TEXT(IFLA_IFALIAS, 256),
	NET_FIXED(IFLA_GROUP, 4),
};

static const struct net_attribute_form port_attributes[] = {
	NET_FIXED(IFLA_BRPORT_PRIORITY, 2),
	NET_FIXED(IFLA_BRPORT_COST, 4),
	NET_FIXED(IFLA_BRPORT_MODE, 1),
	NET_FIXED(IFLA_BRPORT_GUARD, 1),
	NET_FIXED(IFLA_BRPORT_PROTECT, 1),
	NET_FIXED(IFLA_BRPORT_FAST_LEAVE, 1),
	NET_FIXED(IFLA_BRPORT_LEARNING, 1),
	NET_FIXED(IFLA_BRPORT_UNICAST_FLOOD, 1),
	NET_FIXED(IFLA_BRPORT_PROXYARP, 1),
	NET_FIXED(IFLA_BRPORT_PROXYARP_WIFI, 1),
	NET_FIXED(IFLA_BRPORT_MULTICAST_ROUTER, 1),
	NET_FIXED(IFLA_BRPORT_MCAST_FLOOD, 1),
	NET_FIXED(IFLA_BRPORT_MCAST_TO_UCAST, 1),
	NET_FIXED(IFLA_BRPORT_BCAST_FLOOD, 1),
	NET_FIXED(IFLA_BRPORT_GROUP_FWD_MASK, 2),
	NET_FIXED(IFLA_BRPORT_NEIGH_SUPPRESS, 1),
	NET_FIXED(IFLA_BRPORT_ISOLATED, 1),
};

static const struct net_attribute_form bridge_data[] = {
	NET_FIXED(IFLA_BR_FORWARD_DELAY, 4),
	NET_FIXED(IFLA_BR_HELLO_TIME, 4),
	NET_FIXED(IFLA_BR_MAX_AGE, 4),
	NET_FIXED(IFLA_BR_AGEING_TIME, 4),
	NET_FIXED(IFLA_BR_STP_STATE, 4),
	NET_FIXED(IFLA_BR_PRIORITY, 2),
	NET_FIXED(IFLA_BR_GROUP_FWD_MASK, 2),
	NET_FIXED(IFLA_BR_MCAST_ROUTER, 1),
	NET_FIXED(IFLA_BR_MCAST_SNOOPING, 1),
	NET_FIXED(IFLA_BR_MCAST_QUERY_USE_IFADDR, 1),
	NET_FIXED(IFLA_BR_MCAST_QUERIER, 1),
	NET_FIXED(IFLA_BR_MCAST_HASH_MAX, 4),
	NET_FIXED(IFLA_BR_MCAST_LAST_MEMBER_CNT, 4),
	NET_FIXED(IFLA_BR_MCAST_STARTUP_QUERY_CNT, 4),
	NET_FIXED(IFLA_BR_MCAST_LAST_MEMBER_INTVL, 8),
	NET_FIXED(IFLA_BR_MCAST_MEMBERSHIP_INTVL, 8),
	NET_FIXED(IFLA_BR_MCAST_QUERIER_INTVL, 8),
	NET_FIXED(IFLA_BR_MCAST_QUERY_INTVL, 8),
	NET_FIXED(IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, 8),
	NET_FIXED(IFLA_BR_MCAST_STARTUP_QUERY_INTVL, 8),
	NET_FIXED(IFLA_BR_NF_CALL_IPTABLES, 1),
	NET_FIXED(IFLA_BR_NF_CALL_IP6TABLES, 1),
	NET_FIXED(IFLA_BR_NF_CALL_ARPTABLES, 1),
	NET_FIXED(IFLA_BR_MCAST_IGMP_VERSION, 1),
	NET_FIXED(IFLA_BR_MCAST_MLD_VERSION, 1),
};

static const struct net_attribute_form macvlan_data[] = {
	NET_FIXED(IFLA_MACVLAN_MODE, 4),
	NET_FIXED(IFLA_MACVLAN_FLAGS, 2),
	NET_FIXED(IFLA_MACVLAN_BC_QUEUE_LEN, 4),
};

static const struct net_attribute_form ipvlan_data[] = {
	NET_FIXED(IFLA_IPVLAN_MODE, 2),
	NET_FIXED(IFLA_IPVLAN_FLAGS, 2),
};

static const struct net_attribute_form vlan_data[] = {
	NET_FIXED(IFLA_VLAN_ID, 2),
	NET_FIXED(IFLA_VLAN_FLAGS, sizeof(struct ifla_vlan_flags)),
	{ IFLA_VLAN_EGRESS_QOS, 0, 4096, false, true },
	{ IFLA_VLAN_INGRESS_QOS, 0, 4096, false, true },
	NET_FIXED(IFLA_VLAN_PROTOCOL, 2),
};

static const struct net_attribute_form tun_data[] = {
	NET_FIXED(IFLA_TUN_OWNER, 4),
	NET_FIXED(IFLA_TUN_GROUP, 4),
	NET_FIXED(IFLA_TUN_TYPE, 1),
	NET_FIXED(IFLA_TUN_PI, 1),
	NET_FIXED(IFLA_TUN_VNET_HDR, 1),
	NET_FIXED(IFLA_TUN_MULTI_QUEUE, 1),
};

#define FORM(list) { list, ARRAY_SIZE(list) }
const struct net_link_form net_link_form = FORM(link_attributes);
const struct net_link_form net_link_form_later = FORM(later_attributes);
const struct net_link_form net_port_form = FORM(port_attributes);

static const struct net_link_kind kinds[] = {
	{ "veth", LOWER_END, NULL, 0 },
	{ "bridge", LOWER_NONE, bridge_data, ARRAY_SIZE(bridge_data) },
	{ "dummy", LOWER_NONE, NULL, 0 },
	{ "macvlan", LOWER_NEEDED, macvlan_data, ARRAY_SIZE(macvlan_data) },
	{ "ipvlan", LOWER_NEEDED, ipvlan_data, ARRAY_SIZE(ipvlan_data) },
	{ "vlan", LOWER_NEEDED, vlan_data, ARRAY_SIZE(vlan_data) },
	{ "tun", LOWER_NONE, tun_data, ARRAY_SIZE(tun_data) },
};

const struct net_link_kind *net_link_kind(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

bool net_link_name_valid(const char *name)
{
	size_t i, size = strlen(name);

	if (size == 0 || size >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (i = 0; i < size; i++)
		/* "%d" would stand for a number of the kernel's choice. */
		if (isspace((unsigned char)name[i]) || strchr("/:%", name[i]))
			return false;
	return true;
}
