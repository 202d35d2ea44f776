/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/net/entry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kinds/dump.h"
#include "kinds/net/net.h"

enum { ATTRIBUTES_BYTES_MAX = 60000, PASSES_MAX = 32 };

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "network");
}

/* ---- messages ---- */

void *net_message(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *m = calloc(1, type->sizeof_message);

	if (m)
		protobuf_c_message_init(type, m);
	return m;
}

void net_message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

int net_append(void *items, size_t *count, ProtobufCMessage *item, struct error *err)
{
	ProtobufCMessage **list = *(ProtobufCMessage ***)items;

	/* Powers of two, so that no capacity needs to be kept. */
	if (item && (*count & (*count - 1)) == 0)
		list = realloc(list, (*count ? 2 * *count : 1) * sizeof(*list));
	if (!item || !list) {
		net_message_free(item);
		return no_memory(err);
	}
	list[(*count)++] = item;
	*(ProtobufCMessage ***)items = list;
	return 0;
}

static int bytes_set(ProtobufCBinaryData *to, const void *data, size_t size)
{
	to->data = malloc(size ? size : 1);
	if (!to->data)
		return -1;
	memcpy(to->data, data, size);
	to->len = size;
	return 0;
}

/* ---- attributes ---- */

static const struct net_attribute_form *form_of(const struct net_attribute_form *form, size_t count,
						uint32_t type)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (form[i].type == type)
			return &form[i];
	return NULL;
}

static bool fits(const struct net_attribute_form *form, const void *value, size_t size)
{
	if (size < form->least || size > form->most)
		return false;
	return !form->text || strnlen(value, size) == size - 1;
}

static int by_type(const void *a, const void *b)
{
	uint32_t x = (*(NetAttribute *const *)a)->type, y = (*(NetAttribute *const *)b)->type;

	return x < y ? -1 : x > y;
}

int net_attributes_take(struct net_attributes to, const struct net_attribute_form *form,
			size_t form_count, const struct nlattr *first, size_t size,
			struct error *err)
{
	const struct nlattr *a;
	int left;

	nla_for_each_attr(a, (struct nlattr *)first, (int)size, left)
	{
		const struct net_attribute_form *f = form_of(form, form_count, nla_type(a));
		NetAttribute *item;

		if (!f || !fits(f, nla_data(a), nla_len(a)) ||
		    net_attribute(*to.items, *to.count, f->type))
			continue;
		item = net_message(&net_attribute__descriptor);
		if (!item || net_append(to.items, to.count, &item->base, err))
			return item ? -1 : no_memory(err);
		item->type = f->type;
		if (bytes_set(&item->value, nla_data(a), nla_len(a)))
			return no_memory(err);
	}
	if (*to.count)
		qsort(*to.items, *to.count, sizeof(**to.items), by_type);
	return 0;
}

int net_attributes_take_nest(struct net_attributes to, const struct net_attribute_form *form,
			     size_t form_count, const struct nlattr *nest, struct error *err)
{
	if (!nest)
		return 0;
	return net_attributes_take(to, form, form_count, nla_data(nest), nla_len(nest), err);
}

bool net_attributes_valid(const struct net_attribute_form *form, size_t form_count,
			  NetAttribute *const *items, size_t count)
{
	size_t i, total = 0;

	for (i = 0; i < count; i++) {
		const struct net_attribute_form *f = form_of(form, form_count, items[i]->type);

		if (!f || !fits(f, items[i]->value.data, items[i]->value.len))
			return false;
		if (i > 0 && items[i - 1]->type >= items[i]->type)
			return false;
		total += NLA_HDRLEN + NLA_ALIGN(items[i]->value.len);
	}
	return total <= ATTRIBUTES_BYTES_MAX;
}

int net_attribute_nested(const struct net_attribute_form *form, size_t form_count,
			 const NetAttribute *a)
{
	const struct net_attribute_form *f = form_of(form, form_count, a->type);

	return f && f->nest ? NLA_F_NESTED : 0;
}

void net_attributes_put(struct netlink *nl, const struct net_attribute_form *form,
			size_t form_count, NetAttribute *const *items, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		netlink_put(nl, items[i]->type | net_attribute_nested(form, form_count, items[i]),
			    items[i]->value.data, items[i]->value.len);
}

NetAttribute *net_attribute(NetAttribute *const *items, size_t count, uint32_t type)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (items[i]->type == type)
			return items[i];
	return NULL;
}

uint32_t net_attribute_u32(NetAttribute *const *items, size_t count, uint32_t type, uint32_t other)
{
	const NetAttribute *a = net_attribute(items, count, type);
	uint32_t value;

	if (!a || a->value.len != sizeof(value))
		return other;
	memcpy(&value, a->value.data, sizeof(value));
	return value;
}

void net_entry_drop(NetEntry *e, uint32_t type)
{
	size_t i, kept = 0;

	for (i = 0; i < e->n_attributes; i++)
		if (e->attributes[i]->type == type)
			net_message_free(e->attributes[i]);
		else
			e->attributes[kept++] = e->attributes[i];
	e->n_attributes = kept;
}

void net_entry_sort(NetEntry *e)
{
	if (e->n_attributes)
		qsort(e->attributes, e->n_attributes, sizeof(*e->attributes), by_type);
}

/* ---- entries ---- */

NetEntry *net_entry_new(const void *header, size_t size, struct error *err)
{
	NetEntry *e = net_message(&net_entry__descriptor);

	if (e && !bytes_set(&e->header, header, size))
		return e;
	net_message_free(e);
	no_memory(err);
	return NULL;
}

static NetEntry *read_one(const struct net_form *form, const struct nlmsghdr *h, struct error *err)
{
	NetEntry *e = net_entry_new(nlmsg_data(h), form->header_size, err);

	if (e && net_attributes_take(NET_ATTRIBUTES(e, attributes), form->attributes,
				     form->attributes_count,
				     nlmsg_attrdata(h, form->header_size),
				     nlmsg_attrlen(h, form->header_size), err)) {
		net_message_free(e);
		return NULL;
	}
	return e;
}

int net_entries_ask(struct netlink *nl, const struct net_form *form, const void *header,
		    NetEntries *to, struct error *err)
{
	_cleanup_buffer_ struct buffer answers = { 0 };
	const struct nlmsghdr *h;

	netlink_begin(nl, form->ask, NLM_F_DUMP, header, form->header_size);
	if (netlink_ask(nl, &answers, err))
		return error_wrap(err, "cannot list %s entries", form->what);
	netlink_for(h, &answers) {
		NetEntry *e;

		if (h->nlmsg_type != form->make || nlmsg_datalen(h) < (int)form->header_size)
			continue;
		e = read_one(form, h, err);
		if (!e)
			return -1;
		if (!form->tidy(e))
			net_message_free(e);
		else if (net_append(&to->entries, &to->n_entries, &e->base, err))
			return -1;
	}
	return 0;
}

int net_entries_ask_ip(struct netlink *nl, const struct net_form *form, NetEntries *to,
		       struct error *err)
{
	char header[64] = { AF_INET };

	if (net_entries_ask(nl, form, header, to, err))
		return -1;
	header[0] = AF_INET6;
	return net_entries_ask(nl, form, header, to, err);
}

static int read_all(struct netlink *nl, const struct net_form *form, NetEntries **ret,
		    struct error *err)
{
	*ret = net_message(&net_entries__descriptor);
	if (!*ret)
		return no_memory(err);
	return form->read(nl, form, *ret, err);
}

static void entries_free(NetEntries **m)
{
	net_message_free(*m);
}

#define _cleanup_entries_ __attribute__((cleanup(entries_free)))

int net_entries_dump(struct dump *d, const struct kind *kind, const struct net_form *form,
		     struct error *err)
{
	_cleanup_netlink_ struct netlink nl = { 0 };
	_cleanup_entries_ NetEntries *m = NULL;

	if (!net_is_own(&d->container))
		return 0;
	if (netlink_open(&nl, NETLINK_ROUTE, err) || read_all(&nl, form, &m, err))
		return -1;
	return dump_container(d, kind, &m->base, err);
}

int net_entries_check(const struct net_form *form, const ProtobufCMessage *message,
		      struct error *err)
{
	const NetEntries *m = (const NetEntries *)message;
	size_t i;

	for (i = 0; i < m->n_entries; i++)
		if (m->entries[i]->header.len != form->header_size ||
		    !net_attributes_valid(form->attributes, form->attributes_count,
					  m->entries[i]->attributes, m->entries[i]->n_attributes))
			return error_set(err, ERROR_IMAGE, 0, "%s %zu: bad message", form->what, i);
	return 0;
}

/* ---- building ---- */

/* What an entry is, packed, so that two can be compared. */
struct packed {
	const NetEntry *entry;
	uint8_t *data;
	size_t size;
};

struct packed_list {
	struct packed *items;
	size_t count;
};

static void packed_release(struct packed_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->items[i].data);
	free(list->items);
}

static int by_bytes(const void *a, const void *b)
{
	const struct packed *x = a, *y = b;
	int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);

	return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int pack(const NetEntries *m, struct packed_list *ret, struct error *err)
{
	size_t i;

	ret->items = calloc(m->n_entries + 1, sizeof(*ret->items));
	if (!ret->items)
		return no_memory(err);
	for (i = 0; i < m->n_entries; i++) {
		struct packed *p = &ret->items[i];

		p->entry = m->entries[i];
		p->data = malloc(net_entry__get_packed_size(p->entry) + 1);
		if (!p->data)
			return no_memory(err);
		p->size = net_entry__pack(p->entry, p->data);
		ret->count++;
	}
	return 0;
}

static bool has(const struct packed_list *sorted, const struct packed *p)
{
	return sorted->count && bsearch(p, sorted->items, sorted->count, sizeof(*p), by_bytes);
}

static const char *name_of(const struct net_form *form, const NetEntry *e,
			   char text[INET6_ADDRSTRLEN])
{
	/* Its address is attribute 1 everywhere but in nexthops, where that is a number. */
	const NetAttribute *a = net_attribute(e->attributes, e->n_attributes, 1);
	int family = e->header.data[0];

	if (!a || form->make == RTM_NEWNEXTHOP ||
	    a->value.len != (family == AF_INET ? 4 : 16) ||
	    !inet_ntop(family, a->value.data, text, INET6_ADDRSTRLEN))
		return "without address";
	return text;
}

static int order(struct netlink *nl, const struct net_form *form, int type, int flags,
		 const NetEntry *e, struct error *err)
{
	netlink_begin(nl, type, flags, e->header.data, e->header.len);
	net_attributes_put(nl, form->attributes, form->attributes_count, e->attributes,
			   e->n_attributes);
	return netlink_ask(nl, NULL, err);
}

static int remove_entry(struct netlink *nl, const struct net_form *form, const NetEntry *e,
			struct error *err)
{
	_cleanup_error_ struct error why = ERROR_INIT;
	char text[INET6_ADDRSTRLEN];

	if (!order(nl, form, form->remove, 0, e, &why))
		return 0;
	/* Gone with another one. */
	if (why.os_error == ENOENT || why.os_error == ESRCH || why.os_error == EADDRNOTAVAIL)
		return 0;
	return error_set(err, ERROR_FAILED, 0, "%s %s: cannot be removed: %s", form->what,
			 name_of(form, e, text), why.message);
}

static int make_flags(const struct net_form *form, const NetEntry *e)
{
	return form->make_flags_ip6 && e->header.data[0] == AF_INET6 ? form->make_flags_ip6 :
								       form->make_flags;
}

/* One round over those that are still missing (entry not NULL). Returns how many are left; why
 * tells of the first of them. */
static size_t add_pass(struct netlink *nl, const struct net_form *form, struct packed_list *want,
		       struct error *why)
{
	char text[INET6_ADDRSTRLEN];
	size_t i, left = 0;

	for (i = 0; i < want->count; i++) {
		_cleanup_error_ struct error e = ERROR_INIT;
		const NetEntry *entry = want->items[i].entry;

		if (!entry)
			continue;
		if (!order(nl, form, form->make, make_flags(form, entry), entry, &e)) {
			want->items[i].entry = NULL;
		} else {
			left++;
			error_set(why, ERROR_FAILED, e.os_error, "%s %s: cannot be added",
				  form->what, name_of(form, entry, text));
		}
	}
	return left;
}

static int add_all(struct netlink *nl, const struct net_form *form, struct packed_list *want,
		   struct error *err)
{
	size_t before = SIZE_MAX;
	int i;

	for (i = 0; i < PASSES_MAX; i++) {
		struct error why = ERROR_INIT;
		size_t left = add_pass(nl, form, want, &why);

		if (!left)
			return 0;
		if (left == before || i == PASSES_MAX - 1) {
			*err = why;
			return -1;
		}
		before = left;
		error_clear(&why);
	}
	return 0;
}

#define _cleanup_packed_ __attribute__((cleanup(packed_release)))

int net_entries_build(const struct net_form *form, const ProtobufCMessage *message,
		      struct error *err)
{
	_cleanup_netlink_ struct netlink nl = { 0 };
	_cleanup_packed_ struct packed_list have = { 0 }, want = { 0 }, sorted = { 0 };
	_cleanup_entries_ NetEntries *now = NULL;
	size_t i;

	if (netlink_open(&nl, NETLINK_ROUTE, err) || read_all(&nl, form, &now, err) ||
	    pack(now, &have, err) ||
	    pack((const NetEntries *)message, &want, err) ||
	    pack((const NetEntries *)message, &sorted, err))
		return -1;
	qsort(sorted.items, sorted.count, sizeof(*sorted.items), by_bytes);
	for (i = 0; i < have.count; i++)
		if (!has(&sorted, &have.items[i]) &&
		    remove_entry(&nl, form, have.items[i].entry, err))
			return -1;
	qsort(have.items, have.count, sizeof(*have.items), by_bytes);
	for (i = 0; i < want.count; i++)
		if (has(&have, &want.items[i]))
			want.items[i].entry = NULL;
	return add_all(&nl, form, &want, err);
}
