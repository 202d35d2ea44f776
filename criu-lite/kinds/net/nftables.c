/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packet filter of a network namespace, nf_tables: also what iptables-nft has made. The
 * messages with which the kernel tells of it make it again, in one transaction. (A library that
 * writes and reads it as text would be loaded where the container's files are, and does not know
 * what comes from iptables-nft.)
 */
#include "kinds/net/nftables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "images/nftables.pb-c.h"
#include "kernel-compat/nft.h"
#include "kinds/blockers.h"
#include "kinds/dump.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

enum { NAME_MAX_SIZE = 256, USERDATA_MAX = 4096, NEST_MAX = UINT16_MAX - NLA_HDRLEN };
enum { ANSWERS_ROOM = 32 << 20 };

#define NEST(type) { type, 0, NEST_MAX, false, true }
#define BYTES(type, most) { type, 0, most, false, false }

static const struct net_attribute_form table_form[] = {
	NET_TEXT(NFTA_TABLE_NAME, NAME_MAX_SIZE),
	NET_FIXED(NFTA_TABLE_FLAGS, 4),
	BYTES(NFTA_TABLE_USERDATA, USERDATA_MAX),
};

static const struct net_attribute_form chain_form[] = {
	NET_TEXT(NFTA_CHAIN_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_CHAIN_NAME, NAME_MAX_SIZE),
	NEST(NFTA_CHAIN_HOOK),
	NET_FIXED(NFTA_CHAIN_POLICY, 4),
	NET_TEXT(NFTA_CHAIN_TYPE, NAME_MAX_SIZE),
	NEST(NFTA_CHAIN_COUNTERS),
	NET_FIXED(NFTA_CHAIN_FLAGS, 4),
	BYTES(NFTA_CHAIN_USERDATA, USERDATA_MAX),
};

static const struct net_attribute_form object_form[] = {
	NET_TEXT(NFTA_OBJ_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_OBJ_NAME, NAME_MAX_SIZE),
	NET_FIXED(NFTA_OBJ_TYPE, 4),
	NEST(NFTA_OBJ_DATA),
	BYTES(NFTA_OBJ_USERDATA, USERDATA_MAX),
};

static const struct net_attribute_form flowtable_form[] = {
	NET_TEXT(NFTA_FLOWTABLE_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_FLOWTABLE_NAME, NAME_MAX_SIZE),
	NEST(NFTA_FLOWTABLE_HOOK),
	NET_FIXED(NFTA_FLOWTABLE_FLAGS, 4),
};

static const struct net_attribute_form set_form[] = {
	NET_TEXT(NFTA_SET_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_SET_NAME, NAME_MAX_SIZE),
	NET_FIXED(NFTA_SET_FLAGS, 4),
	NET_FIXED(NFTA_SET_KEY_TYPE, 4),
	NET_FIXED(NFTA_SET_KEY_LEN, 4),
	NET_FIXED(NFTA_SET_DATA_TYPE, 4),
	NET_FIXED(NFTA_SET_DATA_LEN, 4),
	NET_FIXED(NFTA_SET_POLICY, 4),
	NEST(NFTA_SET_DESC),
	NET_FIXED(NFTA_SET_TIMEOUT, 8),
	NET_FIXED(NFTA_SET_GC_INTERVAL, 4),
	BYTES(NFTA_SET_USERDATA, USERDATA_MAX),
	NET_FIXED(NFTA_SET_OBJ_TYPE, 4),
	NEST(NFTA_SET_EXPR),
	NEST(NFTA_SET_EXPRESSIONS),
};

static const struct net_attribute_form element_form[] = {
	NET_TEXT(NFTA_SET_ELEM_LIST_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_SET_ELEM_LIST_SET, NAME_MAX_SIZE),
	NEST(NFTA_SET_ELEM_LIST_ELEMENTS),
};

static const struct net_attribute_form rule_form[] = {
	NET_TEXT(NFTA_RULE_TABLE, NAME_MAX_SIZE),
	NET_TEXT(NFTA_RULE_CHAIN, NAME_MAX_SIZE),
	NEST(NFTA_RULE_EXPRESSIONS),
	BYTES(NFTA_RULE_USERDATA, USERDATA_MAX),
};

/* In the order in which they can be added: what refers to others comes behind them. */
static const struct part {
	const char *what;
	int ask, make;
	const struct net_attribute_form *form;
	size_t form_count;
	size_t list;		/* of NetEntry ** in the message; the count is before it */
	size_t count;
} parts[] = {
#define PART(what, message, form, field)                                               \
	{ what, NFT_MSG_GET##message, NFT_MSG_NEW##message, form, ARRAY_SIZE(form),    \
	  offsetof(Nftables, field), offsetof(Nftables, n_##field) }
	PART("table", TABLE, table_form, tables),
	PART("chain", CHAIN, chain_form, chains),
	PART("object", OBJ, object_form, objects),
	PART("flow table", FLOWTABLE, flowtable_form, flowtables),
	PART("set", SET, set_form, sets),
	PART("set element", SETELEM, element_form, elements),
	PART("rule", RULE, rule_form, rules),
};

static NetEntry ***list_of(const Nftables *m, const struct part *p)
{
	return (NetEntry ***)((char *)m + p->list);
}

static size_t *count_of(const Nftables *m, const struct part *p)
{
	return (size_t *)((char *)m + p->count);
}

static const char *text(const NetEntry *e, uint32_t type)
{
	const NetAttribute *a = net_attribute(e->attributes, e->n_attributes, type);

	return a ? (const char *)a->value.data : "";
}

/* ---- saving ---- */

struct reader {
	struct netlink nl;
	struct blockers *blockers;
	pid_t pid;
	Nftables *m;
};

/* Packet locks of ours, made by us and by others who save or restore just now. */
static bool is_ours(const char *table)
{
	return !strncmp(table, "criu-lite-", 10);
}

/* Each list but that of tables has its table as attribute 1, as tables have their names. */
static int table_of(const struct part *p)
{
	return p->make == NFT_MSG_NEWTABLE ? NFTA_TABLE_NAME : NFTA_CHAIN_TABLE;
}

/* 1 when it is to be saved. */
static int judge(struct reader *r, const struct part *p, const struct nlmsghdr *h,
		 const NetEntry *e, struct error *err)
{
	const char *table = text(e, table_of(p));
	const struct nlattr *flags =
		netlink_find(h, sizeof(struct nfgenmsg), NFTA_TABLE_FLAGS, 4);

	if (is_ours(table))
		return 0;
	if (p->make == NFT_MSG_NEWTABLE && ntohl(netlink_u32(flags, 0)) & NFT_TABLE_F_OWNER) {
		if (blockers_add(r->blockers, r->pid, "it belongs to an open netlink socket",
				 "let its owner remove it, or make it without an owner",
				 "nftables table %s", table))
			return error_set(err, ERROR_FAILED, ENOMEM, "nftables");
		return 0;
	}
	return 1;
}

static int take(struct reader *r, const struct part *p, const struct nlmsghdr *h,
		struct error *err)
{
	const struct nfgenmsg *header = nlmsg_data(h);
	const struct nfgenmsg clean = { .nfgen_family = header->nfgen_family };
	NetEntry *e = net_entry_new(&clean, sizeof(clean), err);
	int good;

	if (!e)
		return -1;
	if (net_attributes_take(NET_ATTRIBUTES(e, attributes), p->form, p->form_count,
				nlmsg_attrdata(h, sizeof(*header)),
				nlmsg_attrlen(h, sizeof(*header)), err)) {
		net_message_free(e);
		return -1;
	}
	if (p->make == NFT_MSG_NEWRULE)
		nft_rule_tidy(e);
	good = judge(r, p, h, e, err);
	if (good > 0)
		return net_append(list_of(r->m, p), count_of(r->m, p), &e->base, err);
	net_message_free(e);
	return good;
}

/* Asks for all of one sort; for elements, of one set. */
static int ask(struct reader *r, const struct part *p, const NetEntry *set, struct error *err)
{
	_cleanup_buffer_ struct buffer answers = { 0 };
	struct nfgenmsg header = { .nfgen_family = set ? set->header.data[0] : AF_UNSPEC };
	const struct nlmsghdr *h;

	netlink_begin(&r->nl, NFNL_SUBSYS_NFTABLES << 8 | p->ask, NLM_F_DUMP, &header,
		      sizeof(header));
	if (set) {
		netlink_put_string(&r->nl, NFTA_SET_ELEM_LIST_TABLE, text(set, NFTA_SET_TABLE));
		netlink_put_string(&r->nl, NFTA_SET_ELEM_LIST_SET, text(set, NFTA_SET_NAME));
	}
	if (netlink_ask(&r->nl, &answers, err))
		return error_wrap(err, "nftables: cannot list each %s", p->what);
	netlink_for(h, &answers) {
		if (h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | p->make) &&
		    nlmsg_datalen(h) >= (int)sizeof(header) && take(r, p, h, err))
			return -1;
	}
	return 0;
}

static int read_part(struct reader *r, const struct part *p, struct error *err)
{
	size_t i;

	if (p->make != NFT_MSG_NEWSETELEM)
		return ask(r, p, NULL, err);
	for (i = 0; i < r->m->n_sets; i++)
		if (ask(r, p, r->m->sets[i], err))
			return -1;
	return 0;
}

static bool is_same_chain(const NetEntry *chain, const NetEntry *rule)
{
	return chain->header.data[0] == rule->header.data[0] &&
	       !strcmp(text(chain, NFTA_CHAIN_TABLE), text(rule, NFTA_RULE_TABLE)) &&
	       !strcmp(text(chain, NFTA_CHAIN_NAME), text(rule, NFTA_RULE_CHAIN));
}

/* A chain without a name takes no more rules once the one rule that has it is there; one within
 * another was made later. Their rules go to the front, the last chain's first. */
static int order_rules(Nftables *m, struct error *err)
{
	_cleanup_free_ NetEntry **sorted = calloc(m->n_rules + 1, sizeof(*sorted));
	size_t i, k, count = 0;

	if (!sorted)
		return error_set(err, ERROR_FAILED, ENOMEM, "nftables");
	for (i = m->n_chains; i-- > 0;) {
		const NetEntry *chain = m->chains[i];
		uint32_t flags = net_attribute_u32(chain->attributes, chain->n_attributes,
						   NFTA_CHAIN_FLAGS, 0);

		for (k = 0; ntohl(flags) & NFT_CHAIN_BINDING && k < m->n_rules; k++)
			if (m->rules[k] && is_same_chain(chain, m->rules[k]))
				sorted[count++] = steal_ptr(m->rules[k]);
	}
	for (k = 0; k < m->n_rules; k++)
		if (m->rules[k])
			sorted[count++] = m->rules[k];
	if (count)
		memcpy(m->rules, sorted, count * sizeof(*sorted));
	return 0;
}

/* Fills a message; without tables there is nothing else. */
static int read_all(struct reader *r, struct error *err)
{
	struct error why = ERROR_INIT;
	size_t i;

	r->m = net_message(&nftables__descriptor);
	if (!r->m)
		return error_set(err, ERROR_FAILED, ENOMEM, "nftables");
	/* A kernel without nf_tables or without any netfilter has no tables. */
	if (netlink_open(&r->nl, NETLINK_NETFILTER, &why) || read_part(r, &parts[0], &why)) {
		if (why.os_error == EPROTONOSUPPORT || why.os_error == EINVAL) {
			error_clear(&why);
			return 0;
		}
		*err = why;
		return -1;
	}
	for (i = 1; i < ARRAY_SIZE(parts) && r->m->n_tables; i++)
		if (read_part(r, &parts[i], err))
			return -1;
	return order_rules(r->m, err);
}

static void reader_release(struct reader *r)
{
	netlink_release(&r->nl);
	net_message_free(r->m);
}

#define _cleanup_nft_reader_ __attribute__((cleanup(reader_release)))

/* iptables-legacy and its kin keep their rules elsewhere. */
static int check_legacy(pid_t pid, struct blockers *blockers, struct error *err)
{
	static const char *const lists[] = { "ip", "ip6", "arp" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_buffer_ struct buffer names = { 0 };
		char path[64];

		snprintf(path, sizeof(path), "/proc/thread-self/net/%s_tables_names", lists[i]);
		if (read_file_at(AT_FDCWD, path, &names) || !names.size)
			continue;
		names.data[strcspn(names.data, "\n")] = 0;
		if (blockers_add(blockers, pid, "tables of iptables-legacy cannot be saved",
				 "use iptables-nft in the container", "%s_tables table %s",
				 lists[i], names.data))
			return error_set(err, ERROR_FAILED, ENOMEM, "nftables");
	}
	return 0;
}

static int nftables_check(const struct container_look *look, struct blockers *blockers,
			  struct error *err)
{
	_cleanup_nft_reader_ struct reader r = { .blockers = blockers, .pid = look->tasks[0].pid };

	if (!net_is_own(look->container))
		return 0;
	return read_all(&r, err) || check_legacy(r.pid, blockers, err) ? -1 : 0;
}

static int nftables_dump(struct dump *d, struct error *err)
{
	struct blockers blockers = { 0 };
	_cleanup_nft_reader_ struct reader r = { .blockers = &blockers };
	int result;

	if (!net_is_own(&d->container))
		return 0;
	r.pid = d->tasks.count ? d->tasks.items[0]->pid : 0;
	result = read_all(&r, err) || check_legacy(r.pid, &blockers, err) ||
		 blockers_error(&blockers, err);
	blockers_release(&blockers);
	return result ? -1 : dump_container(d, &nftables_kind, &r.m->base, err);
}

/* ---- making ---- */

static int nftables_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const Nftables *m = (const Nftables *)message;
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		for (k = 0; k < *count_of(m, &parts[i]); k++) {
			const NetEntry *e = (*list_of(m, &parts[i]))[k];

			if (e->header.len != sizeof(struct nfgenmsg) ||
			    !net_attributes_valid(parts[i].form, parts[i].form_count, e->attributes,
						  e->n_attributes) ||
			    is_ours(text(e, table_of(&parts[i]))))
				return error_set(err, ERROR_IMAGE, 0,
						 "nftables %s %zu: bad message", parts[i].what, k);
		}
	return 0;
}

static void put(struct nft_batch *b, const struct part *p, const NetEntry *e, size_t number)
{
	size_t i, compat;
	uint32_t protocol;

	nft_message(b, p->make, NLM_F_CREATE | (p->make == NFT_MSG_NEWRULE ? NLM_F_APPEND : 0),
		    e->header.data[0]);
	for (i = 0; i < e->n_attributes; i++)
		nft_put(b, e->attributes[i]->type | net_attribute_nested(p->form, p->form_count,
									 e->attributes[i]),
			e->attributes[i]->value.data, e->attributes[i]->value.len);
	if (p->make == NFT_MSG_NEWSET)
		nft_put_u32(b, NFTA_SET_ID, number + 1);
	if (p->make == NFT_MSG_NEWRULE && nft_rule_protocol(e, &protocol)) {
		compat = nft_nest(b, NFTA_RULE_COMPAT);
		nft_put_u32(b, NFTA_RULE_COMPAT_PROTO, protocol);
		nft_put_u32(b, NFTA_RULE_COMPAT_FLAGS, 0);
		nft_nest_end(b, compat);
	}
}

/* What the kernel does not take: message `number` of the batch. */
static int refused(const Nftables *m, uint32_t number, struct error *err)
{
	int why = errno;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts) && number; i++) {
		size_t count = *count_of(m, &parts[i]);
		const NetEntry *e;

		if (number > count) {
			number -= count;
			continue;
		}
		e = (*list_of(m, &parts[i]))[number - 1];
		return error_set(err, ERROR_FAILED, why,
				 "nftables: %s %u of the container, in table %s, cannot be put back",
				 parts[i].what, number, text(e, table_of(&parts[i])));
	}
	return error_set(err, ERROR_FAILED, why,
			 "nftables: the packet filter of the container cannot be put back");
}

static int nftables_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	const Nftables *m = (const Nftables *)message;
	const int room = ANSWERS_ROOM;
	_cleanup_fd_ int fd = -1;
	size_t i, k;

	if (!m->n_tables)
		return 0;
	fd = nft_open();
	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a netfilter socket");
	/* Each message is answered, all before they are read. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		for (k = 0; k < *count_of(m, &parts[i]); k++)
			put(&b, &parts[i], (*list_of(m, &parts[i]))[k], k);
	if (nft_commit(&b, fd))
		return refused(m, b.refused, err);
	return 0;
}

static const struct container_ops nftables_container = {
	.of = CLONE_NEWNET,
	.check = nftables_check,
	.dump = nftables_dump,
	.prepare = nftables_prepare,
	.build = nftables_build,
};

const struct kind nftables_kind = {
	.name = "nftables",
	.record = 0x227,
	.scope = KIND_CONTAINER,
	.message = &nftables__descriptor,
	.help = "the packet filter of a container: tables of nftables and iptables-nft",
	.container = &nftables_container,
};
