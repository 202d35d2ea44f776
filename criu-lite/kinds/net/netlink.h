/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_NETLINK_H
#define CL_KINDS_NET_NETLINK_H

#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"

/*
 * Questions and orders to the kernel's network, netlink(7), rtnetlink(7): one at a time.
 *
 *     netlink_begin(&nl, RTM_NEWADDR, NLM_F_CREATE, &header, sizeof(header));
 *     netlink_put_u32(&nl, IFA_FLAGS, flags);
 *     if (netlink_ask(&nl, NULL, err))
 *         return error_wrap(err, "address …");
 */
struct netlink {
	struct nl_sock *socket;
	struct nl_msg *message;	/* being made */
	struct nlattr *nest[4];	/* open in it */
	int nested;
	bool full;		/* it has no room for what was put, or there was no memory */
};

/* A socket in the network namespace that we are in. The protocol is NETLINK_ROUTE or such. */
int netlink_open(struct netlink *nl, int protocol, struct error *err);
/* The same in the namespace that net_fd stands for; we are where we were afterwards. Needs /proc,
 * and CAP_SYS_ADMIN over that namespace, setns(2). */
int netlink_open_in(struct netlink *nl, int protocol, int net_fd, struct error *err);
void netlink_release(struct netlink *nl);
#define _cleanup_netlink_ __attribute__((cleanup(netlink_release)))

/* Begins a message with a header of its family. What fails from here on is told by
 * netlink_ask(). */
void netlink_begin(struct netlink *nl, int type, int flags, const void *header, size_t size);
/* Attributes; those put between netlink_nest() and netlink_nest_end() are nested. */
void netlink_put(struct netlink *nl, int type, const void *value, size_t size);
void netlink_put_u32(struct netlink *nl, int type, uint32_t value);
void netlink_put_u8(struct netlink *nl, int type, uint8_t value);
void netlink_put_string(struct netlink *nl, int type, const char *value);
void netlink_nest(struct netlink *nl, int type);
/* A nest that begins with a header of its own, as that of a veth's other end. */
void netlink_nest_header(struct netlink *nl, int type, const void *header, size_t size);
void netlink_nest_end(struct netlink *nl);

/*
 * Sends it and waits for the end of the answer. With NLM_F_DUMP all parts of the answer are put
 * into *ret (replacing what was there), asked anew when the kernel says that things changed
 * meanwhile; else the kernel acknowledges, and *ret, which may be NULL, gets what it says before.
 * What the kernel refuses is ERROR_FAILED with its errno and, where it gives one, its reason.
 */
int netlink_ask(struct netlink *nl, struct buffer *ret, struct error *err);

/* Walks the answers: the one behind h, the first for NULL; NULL at the end. */
const struct nlmsghdr *netlink_next(const struct buffer *answers, const struct nlmsghdr *h);
#define netlink_for(h, answers) \
	for ((h) = netlink_next(answers, NULL); (h); (h) = netlink_next(answers, h))

/* The attribute of that type behind a header of `size` bytes, at least `least` bytes long; NULL
 * when the answer has none. */
const struct nlattr *netlink_find(const struct nlmsghdr *h, size_t size, int type, size_t least);
/* The same within a nested attribute, which may be NULL. */
const struct nlattr *netlink_find_in(const struct nlattr *nest, int type, size_t least);
/* Values of such attributes; `other` where there is none. A string that does not end is none. */
uint32_t netlink_u32(const struct nlattr *a, uint32_t other);
const char *netlink_string(const struct nlattr *a);

#endif
