/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_ENTRY_H
#define CL_KINDS_NET_ENTRY_H

#include "images/net_common.pb-c.h"
#include "kinds/kind.h"
#include "kinds/net/netlink.h"

/*
 * Objects of the network as the kernel tells them, and tells them back to it: a header and those
 * attributes that a form names. What no form names is no state, or not ours to give.
 */

struct net_attribute_form {
	uint16_t type;
	uint16_t least, most;	/* bytes */
	bool text;		/* a string with its end */
	bool nest;		/* holds attributes itself */
};

#define NET_FIXED(type, size) { type, size, size, false, false }
#define NET_TEXT(type, size) { type, 1, size, true, false }

/* Message parts are malloc'ed one by one, so that protobuf_c_message_free_unpacked() frees all of
 * a message made by net_message(); that too. NULL without memory. */
void *net_message(const ProtobufCMessageDescriptor *type);
/* Appends to a repeated field of messages; takes the item, also when it fails. */
int net_append(void *items, size_t *count, ProtobufCMessage *item, struct error *err);
void net_message_free(void *message);

struct net_attributes {
	NetAttribute ***items;
	size_t *count;
};
#define NET_ATTRIBUTES(message, field) \
	((struct net_attributes){ &(message)->field, &(message)->n_##field })

/* Those of `first`, `size` bytes of attributes, that the form has, sorted by type. */
int net_attributes_take(struct net_attributes to, const struct net_attribute_form *form,
			size_t form_count, const struct nlattr *first, size_t size,
			struct error *err);
/* The same for what is in a nested attribute; none for NULL. */
int net_attributes_take_nest(struct net_attributes to, const struct net_attribute_form *form,
			     size_t form_count, const struct nlattr *nest, struct error *err);
/* Whether foreign attributes fit the form. */
bool net_attributes_valid(const struct net_attribute_form *form, size_t form_count,
			  NetAttribute *const *items, size_t count);
void net_attributes_put(struct netlink *nl, const struct net_attribute_form *form,
			size_t form_count, NetAttribute *const *items, size_t count);
/* NLA_F_NESTED for one that holds others, else 0. */
int net_attribute_nested(const struct net_attribute_form *form, size_t form_count,
			 const NetAttribute *a);
/* NULL when there is none. */
NetAttribute *net_attribute(NetAttribute *const *items, size_t count, uint32_t type);
/* Value of one of 4 bytes. */
uint32_t net_attribute_u32(NetAttribute *const *items, size_t count, uint32_t type,
			   uint32_t other);
/* An entry with that header; NULL on error. */
NetEntry *net_entry_new(const void *header, size_t size, struct error *err);
/* Takes one out, if it is there. */
void net_entry_drop(NetEntry *e, uint32_t type);
/* Brings them back into order after a type was changed. */
void net_entry_sort(NetEntry *e);

struct net_form {
	const char *what;		/* "address", for people */
	int ask, make, remove;		/* RTM_GET…, RTM_NEW…, RTM_DEL… */
	size_t header_size;
	const struct net_attribute_form *attributes;
	size_t attributes_count;
	/* All that there are, by net_entries_ask(). */
	int (*read)(struct netlink *nl, const struct net_form *form, NetEntries *ret,
		    struct error *err);
	/* Whether it is ours to save; takes out of it what is no state. */
	bool (*tidy)(NetEntry *e);
	int make_flags, make_flags_ip6;	/* NLM_F_… with which it is made; 0: the same */
};

/* Appends the answers to one question, whose header (form->header_size bytes) says of which
 * family. */
int net_entries_ask(struct netlink *nl, const struct net_form *form, const void *header,
		    NetEntries *to, struct error *err);
/* The same for both families of IP, whose number is the first byte of every header. */
int net_entries_ask_ip(struct netlink *nl, const struct net_form *form, NetEntries *to,
		       struct error *err);

/* What the rows do, whose message is a NetEntries. Saves them: */
int net_entries_dump(struct dump *d, const struct kind *kind, const struct net_form *form,
		     struct error *err);
/* Foreign entries: ERROR_IMAGE unless they fit the form. */
int net_entries_check(const struct net_form *form, const ProtobufCMessage *message,
		      struct error *err);
/*
 * Makes what there is to what there shall be: removes and adds what differs. An entry that needs
 * another one that comes later is tried again behind it.
 */
int net_entries_build(const struct net_form *form, const ProtobufCMessage *message,
		      struct error *err);

#endif
