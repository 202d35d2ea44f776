/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/lock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/nft.h"

enum {
	FAMILY = NFPROTO_INET,
	/* Of the hooks, before anything is put together or tracked. */
	PRIORITY = -450,
	LOOPBACK = 1,	/* the index of "lo" in each namespace */
	ELEMENTS = 512,	/* of a set, in one message */
	SOURCE_PORT = 0, DESTINATION_PORT = 2,	/* where the header has them */
	FLAGS = 13,
	/* What the library calls the types, for those who list the table. */
	TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PORT = 13, TYPE_BITS = 6,
};

/* Addresses of a family in packets, and in the set of its connections. */
struct layout {
	int family, protocol_family;	/* AF_, NFPROTO_ */
	const char *set;
	uint32_t set_id;
	int size, source, destination;	/* in the header */
	int type;
};

static const struct layout layouts[] = {
	{ AF_INET, NFPROTO_IPV4, "connections4", 1, 4, 12, 16, TYPE_IPV4 },
	{ AF_INET6, NFPROTO_IPV6, "connections6", 2, 16, 8, 24, TYPE_IPV6 },
};
static const char ports_set[] = "ports";
enum { PORTS_SET_ID = 3 };

/* The two chains. */
struct direction {
	const char *chain;
	int hook;
	bool incoming;
};

static const struct direction directions[] = {
	{ "in", NF_INET_PRE_ROUTING, true },
	{ "out", NF_INET_LOCAL_OUT, false },
};

void lock_flows_release(struct lock_flows *flows)
{
	array_release(&flows->list);
	array_release(&flows->ports);
}

/* ---- sets ---- */

static void add_set(struct nft_batch *b, const char *table, const char *name, uint32_t id,
		    int size, uint32_t type)
{
	nft_message(b, NFT_MSG_NEWSET, NLM_F_CREATE, FAMILY);
	nft_put_text(b, NFTA_SET_TABLE, table);
	nft_put_text(b, NFTA_SET_NAME, name);
	nft_put_u32(b, NFTA_SET_FLAGS, 0);
	nft_put_u32(b, NFTA_SET_KEY_TYPE, type);
	nft_put_u32(b, NFTA_SET_KEY_LEN, size);
	nft_put_u32(b, NFTA_SET_ID, id);
}

static size_t elements_begin(struct nft_batch *b, const char *table, const char *set, uint32_t id)
{
	nft_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, FAMILY);
	nft_put_text(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nft_put_text(b, NFTA_SET_ELEM_LIST_SET, set);
	nft_put_u32(b, NFTA_SET_ELEM_LIST_SET_ID, id);
	return nft_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
}

static void add_element(struct nft_batch *b, const void *key, size_t size)
{
	size_t element = nft_nest(b, NFTA_LIST_ELEM), nest = nft_nest(b, NFTA_SET_ELEM_KEY);

	nft_put(b, NFTA_DATA_VALUE, key, size);
	nft_nest_end(b, nest);
	nft_nest_end(b, element);
}

/* Each part of a key fills whole registers. */
static size_t key_of(const struct layout *l, const struct lock_flow *flow, uint8_t key[40])
{
	uint8_t *at = key;

	memset(key, 0, 40);
	memcpy(at, flow->local, l->size);
	at += l->size;
	memcpy(at, &flow->local_port, 2);
	at += 4;
	memcpy(at, flow->remote, l->size);
	at += l->size;
	memcpy(at, &flow->remote_port, 2);
	return at + 4 - key;
}

static void add_connections(struct nft_batch *b, const char *table, const struct layout *l,
			    const struct lock_flows *flows)
{
	const uint32_t type = ((l->type << TYPE_BITS | TYPE_PORT) << TYPE_BITS | l->type)
				      << TYPE_BITS |
			      TYPE_PORT;
	const struct lock_flow *flow;
	size_t nest = 0, count = 0;
	uint8_t key[40];

	add_set(b, table, l->set, l->set_id, 2 * (l->size + 4), type);
	array_for(flow, &flows->list) {
		if (flow->family != l->family)
			continue;
		if (count % ELEMENTS == 0) {
			if (count)
				nft_nest_end(b, nest);
			nest = elements_begin(b, table, l->set, l->set_id);
		}
		add_element(b, key, key_of(l, flow, key));
		count++;
	}
	if (count)
		nft_nest_end(b, nest);
}

static void add_ports(struct nft_batch *b, const char *table, const struct lock_flows *flows)
{
	const uint16_t *port;
	size_t nest;

	add_set(b, table, ports_set, PORTS_SET_ID, 2, TYPE_PORT);
	nest = elements_begin(b, table, ports_set, PORTS_SET_ID);
	array_for(port, &flows->ports)
		add_element(b, port, 2);
	nft_nest_end(b, nest);
}

static bool has_family(const struct lock_flows *flows, int family)
{
	const struct lock_flow *flow;

	array_for(flow, &flows->list)
		if (flow->family == family)
			return true;
	return false;
}

/* ---- rules ---- */

static void compare_meta(struct nft_batch *b, int key, const void *value, size_t size)
{
	nft_meta(b, key, NFT_REG32_00);
	nft_compare(b, NFT_REG32_00, NFT_CMP_EQ, value, size);
}

static void compare_meta_byte(struct nft_batch *b, int key, uint8_t value)
{
	compare_meta(b, key, &value, 1);
}

static void pass_mark(struct nft_batch *b, const char *table, const char *chain, uint32_t mark)
{
	struct nft_rule rule;

	nft_rule(b, FAMILY, table, chain, &rule);
	compare_meta(b, NFT_META_MARK, &mark, sizeof(mark));
	nft_verdict(b, NF_ACCEPT);
	nft_rule_end(b, &rule);
}

static void drop_connections(struct nft_batch *b, const char *table, const struct direction *d,
			     const struct layout *l)
{
	const int words = l->size / 4;
	struct nft_rule rule;

	nft_rule(b, FAMILY, table, d->chain, &rule);
	compare_meta_byte(b, NFT_META_NFPROTO, l->protocol_family);
	compare_meta_byte(b, NFT_META_L4PROTO, IPPROTO_TCP);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, d->incoming ? l->destination : l->source,
		    l->size, NFT_REG32_00);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, d->incoming ? DESTINATION_PORT : SOURCE_PORT,
		    2, NFT_REG32_00 + words);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, d->incoming ? l->source : l->destination,
		    l->size, NFT_REG32_00 + words + 1);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, d->incoming ? SOURCE_PORT : DESTINATION_PORT,
		    2, NFT_REG32_00 + 2 * words + 1);
	nft_lookup(b, NFT_REG32_00, l->set, l->set_id);
	nft_verdict(b, NF_DROP);
	nft_rule_end(b, &rule);
}

/* The first packet of a connection that others begin: at these ports, or anywhere from outside. */
static void drop_beginnings(struct nft_batch *b, const char *table, const char *chain,
			    bool anywhere)
{
	const uint32_t lo = LOOPBACK;
	const uint8_t syn = TH_SYN;
	struct nft_rule rule;

	nft_rule(b, FAMILY, table, chain, &rule);
	if (anywhere) {
		nft_meta(b, NFT_META_IIF, NFT_REG32_00);
		nft_compare(b, NFT_REG32_00, NFT_CMP_NEQ, &lo, sizeof(lo));
	}
	compare_meta_byte(b, NFT_META_L4PROTO, IPPROTO_TCP);
	if (!anywhere) {
		nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, DESTINATION_PORT, 2, NFT_REG32_00);
		nft_lookup(b, NFT_REG32_00, ports_set, PORTS_SET_ID);
	}
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS, 1, NFT_REG32_00);
	nft_mask_byte(b, NFT_REG32_00, TH_SYN | TH_ACK | TH_RST | TH_FIN);
	nft_compare(b, NFT_REG32_00, NFT_CMP_EQ, &syn, 1);
	nft_verdict(b, NF_DROP);
	nft_rule_end(b, &rule);
}

/* What passes although everything is locked. ARP is no concern of these hooks anyway. */
static void pass_loopback_and_neighbours(struct nft_batch *b, const char *table,
					 const struct direction *d)
{
	const uint8_t first = ND_ROUTER_SOLICIT, last = ND_REDIRECT;
	const uint32_t lo = LOOPBACK;
	struct nft_rule rule;

	nft_rule(b, FAMILY, table, d->chain, &rule);
	compare_meta(b, d->incoming ? NFT_META_IIF : NFT_META_OIF, &lo, sizeof(lo));
	nft_verdict(b, NF_ACCEPT);
	nft_rule_end(b, &rule);

	nft_rule(b, FAMILY, table, d->chain, &rule);
	compare_meta_byte(b, NFT_META_L4PROTO, IPPROTO_ICMPV6);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG32_00);
	nft_compare(b, NFT_REG32_00, NFT_CMP_GTE, &first, 1);
	nft_compare(b, NFT_REG32_00, NFT_CMP_LTE, &last, 1);
	nft_verdict(b, NF_ACCEPT);
	nft_rule_end(b, &rule);
}

static void add_chain(struct nft_batch *b, const char *table, const struct direction *d,
		      int policy)
{
	size_t hook;

	nft_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, FAMILY);
	nft_put_text(b, NFTA_CHAIN_TABLE, table);
	nft_put_text(b, NFTA_CHAIN_NAME, d->chain);
	hook = nft_nest(b, NFTA_CHAIN_HOOK);
	nft_put_u32(b, NFTA_HOOK_HOOKNUM, d->hook);
	nft_put_u32(b, NFTA_HOOK_PRIORITY, PRIORITY);
	nft_nest_end(b, hook);
	nft_put_u32(b, NFTA_CHAIN_POLICY, policy);
	nft_put_text(b, NFTA_CHAIN_TYPE, "filter");
}

static void add_rules(struct nft_batch *b, const char *table, const struct direction *d,
		      const struct lock_wish *wish)
{
	const struct layout *l;

	add_chain(b, table, d, wish->everything ? NF_DROP : NF_ACCEPT);
	if (wish->pass_mark)
		pass_mark(b, table, d->chain, wish->pass_mark);
	for (l = layouts; l < layouts + ARRAY_SIZE(layouts); l++)
		if (has_family(wish->flows, l->family))
			drop_connections(b, table, d, l);
	if (d->incoming && wish->beginnings)
		drop_beginnings(b, table, d->chain, true);
	if (d->incoming && wish->flows->ports.count)
		drop_beginnings(b, table, d->chain, false);
	if (wish->everything)
		pass_loopback_and_neighbours(b, table, d);
}

/* ---- tables ---- */

static void add_table(struct nft_batch *b, const char *table, const struct lock_wish *wish)
{
	const struct direction *d;
	const struct layout *l;

	nft_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, FAMILY);
	nft_put_text(b, NFTA_TABLE_NAME, table);
	nft_put_u32(b, NFTA_TABLE_FLAGS, wish->stays ? 0 : NFT_TABLE_F_OWNER);
	for (l = layouts; l < layouts + ARRAY_SIZE(layouts); l++)
		if (has_family(wish->flows, l->family))
			add_connections(b, table, l, wish->flows);
	if (wish->flows->ports.count)
		add_ports(b, table, wish->flows);
	for (d = directions; d < directions + ARRAY_SIZE(directions); d++)
		add_rules(b, table, d, wish);
}

static int name_lock(struct network_lock *l, const struct lock_wish *wish)
{
	uint32_t number;

	if (wish->stays) {
		snprintf(l->name, sizeof(l->name), "%s", wish->stays);
		return 0;
	}
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -1;
	snprintf(l->name, sizeof(l->name), "criu-lite-lock-%08x", number);
	return 0;
}

int network_lock(struct network_lock *l, const struct lock_wish *wish, struct error *err)
{
	static const struct lock_flows none;
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	struct lock_wish full = *wish;

	if (!full.flows)
		full.flows = &none;
	*l = (struct network_lock){ .fd = nft_open(), .pass_mark = wish->pass_mark };
	if (l->fd < 0 || name_lock(l, wish)) {
		fd_close(&l->fd);
		return error_set(err, ERROR_FAILED, errno, "cannot lock the network");
	}
	add_table(&b, l->name, &full);
	if (nft_commit(&b, l->fd)) {
		error_set(err, ERROR_BLOCKED, errno, "cannot lock the network: nf_tables");
		fd_close(&l->fd);
		return error_hint(err, "see the row packet-lock of criu-lite check");
	}
	if (wish->stays)
		fd_close(&l->fd);
	return 0;
}

void network_unlock_leave_open(struct network_lock *l)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };

	if (l->fd < 0 || !l->name[0])
		return;
	/* At once; with the socket alone it goes a moment later. */
	nft_message(&b, NFT_MSG_DELTABLE, 0, FAMILY);
	nft_put_text(&b, NFTA_TABLE_NAME, l->name);
	if (nft_commit(&b, l->fd))
		log_info("cannot unlock the network: %s", strerror(errno));
	l->name[0] = 0;
}

void network_unlock(struct network_lock *l)
{
	network_unlock_leave_open(l);
	fd_close(&l->fd);
}

void network_lock_name(const uint8_t *id, size_t size, char ret[LOCK_NAME])
{
	size_t i, at = snprintf(ret, LOCK_NAME, "criu-lite-");

	for (i = 0; i < size && at + 3 < LOCK_NAME; i++)
		at += snprintf(ret + at, LOCK_NAME - at, "%02x", id[i]);
}

uint32_t network_lock_mark(const uint8_t *id, size_t size)
{
	uint32_t mark = 0;

	memcpy(&mark, id, size < sizeof(mark) ? size : sizeof(mark));
	return mark ? mark : 1;
}

int network_lock_remove(const char *name, const struct network_lock *with, struct error *err)
{
	if (!nft_remove_table(with ? with->fd : -1, FAMILY, name))
		return 1;
	/* A kernel that has no tables answers in its own ways. */
	if (errno == ENOENT || errno == EOPNOTSUPP || errno == EPROTONOSUPPORT || errno == EINVAL)
		return 0;
	return error_set(err, ERROR_FAILED, errno, "cannot remove the packet lock %s", name);
}
