/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's end of a veth, when the container is made. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kinds/net/link.h"
#include "kinds/restore.h"

/* A network namespace goes away some 15 ms after its last process, more on a busy machine. */
enum { PLACE_WAIT_MS = 1000, CARRIER_WAIT_MS = 1000 };

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

const char *net_host_name(const struct restore *r, const char *name)
{
	const struct container *c = &r->container;
	size_t i, size = strlen(name);

	for (i = 0; i < c->externals_count; i++) {
		const struct external *e = &c->externals[i];

		if (e->length == size + 5 && !memcmp(e->name, "net[", 4) &&
		    !memcmp(e->name + 4, name, size) && e->name[size + 4] == ']')
			return e->value;
	}
	return name;
}

/* Whether the namespace of that number among the machine's is alive. */
static bool is_alive(struct netlink *host, const struct nlattr *id)
{
	_cleanup_error_ struct error why = ERROR_INIT;
	struct ifinfomsg header = { .ifi_index = 1 };
	int32_t number = netlink_u32(id, -1);

	if (number < 0)
		return false;
	netlink_begin(host, RTM_GETLINK, 0, &header, sizeof(header));
	netlink_put_u32(host, IFLA_TARGET_NETNSID, number);
	netlink_put_u32(host, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	/* Linux before 4.20 does not look: then it is waited for. */
	return !netlink_ask(host, NULL, &why) || why.os_error != EINVAL;
}

/* Removes it if its other end was in a namespace that has ended; it goes anyway, but later. */
static int remove_leftover(struct netlink *host, const struct nlmsghdr *h, const char *name,
			   struct error *err)
{
	const struct ifinfomsg *found = nlmsg_data(h);
	const struct nlattr *id = net_link_attribute(h, IFLA_LINK_NETNSID, 4);
	struct ifinfomsg header = { .ifi_index = found->ifi_index };
	struct error why = ERROR_INIT;

	if (!id || is_alive(host, id))
		return 0;
	netlink_begin(host, RTM_DELLINK, 0, &header, sizeof(header));
	if (netlink_ask(host, NULL, &why) && why.os_error != ENODEV) {
		*err = why;
		return error_wrap(err, "network link %s of this machine", name);
	}
	error_clear(&why);
	return 0;
}

int net_host_place(struct netlink *host, const char *name, struct error *err)
{
	uint64_t end = now_ns() + PLACE_WAIT_MS * 1000000ull;

	for (;;) {
		_cleanup_buffer_ struct buffer answer = { 0 };
		const struct nlmsghdr *h;
		const char *kind;
		int found = net_link_look(host, name, 0, &answer, &h, err);

		if (found <= 0)
			return found;
		kind = net_link_kind_name(h);
		if (!kind || strcmp(kind, "veth") || now_ns() > end) {
			error_set(err, ERROR_BLOCKED, EEXIST, "network link %s of this machine",
				  name);
			return error_hint(err, "remove it, or give another name: --external "
					       "net[%s]=NAME-HERE", name);
		}
		if (remove_leftover(host, h, name, err))
			return -1;
		if (net_link_look(host, name, 0, &answer, &h, err) > 0)
			pause_ms(2);
	}
}

static int find_bridge(struct netlink *host, const char *name, uint32_t *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	const struct nlmsghdr *h;
	const char *kind;
	int found = net_link_look(host, name, 0, &answer, &h, err);

	if (found < 0)
		return -1;
	kind = found ? net_link_kind_name(h) : NULL;
	if (!kind || strcmp(kind, "bridge")) {
		error_set(err, ERROR_BLOCKED, 0, "this machine has no bridge %s", name);
		return error_hint(err, "make it, or name another one: --external net[%s]=NAME-HERE",
				  name);
	}
	*ret = ((const struct ifinfomsg *)nlmsg_data(h))->ifi_index;
	return 0;
}

int net_host_check(const struct restore *r, struct netlink *host, const NetLink *link,
		   struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	const struct nlmsghdr *h;
	uint32_t index;

	if (link->host_end && link->host_end->bridge &&
	    find_bridge(host, net_host_name(r, link->host_end->bridge), &index, err))
		return error_wrap(err, "network link %s", link->name);
	if (link->host_lower) {
		const char *name = net_host_name(r, link->host_lower);
		int found = net_link_look(host, name, 0, &answer, &h, err);

		if (found < 0)
			return -1;
		if (!found) {
			error_set(err, ERROR_BLOCKED, 0,
				  "network link %s stands on %s, which this machine does not have",
				  link->name, name);
			return error_hint(err, "name another one: --external net[%s]=NAME-HERE",
					  link->host_lower);
		}
	}
	return 0;
}

/* The index of the end that net_links_make() has made. */
static int find_end(struct netlink *host, const char *name, uint32_t *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer answer = { 0 };
	const struct nlmsghdr *h;
	int found = net_link_look(host, name, 0, &answer, &h, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERROR_FAILED, ENODEV, "network link %s of this machine", name);
	*ret = ((const struct ifinfomsg *)nlmsg_data(h))->ifi_index;
	return 0;
}

int net_host_end_set(const struct restore *r, struct netlink *host, const NetHostEnd *end,
		     struct error *err)
{
	const char *name = net_host_name(r, end->name);
	struct ifinfomsg header = { .ifi_flags = end->flags, .ifi_change = NET_LINK_FLAGS };
	uint32_t index;

	if (find_end(host, name, &index, err))
		return -1;
	header.ifi_index = index;
	netlink_begin(host, RTM_SETLINK, 0, &header, sizeof(header));
	net_link_put(host, &net_link_form_later, end->attributes, end->n_attributes);
	if (netlink_ask(host, NULL, err))
		return error_wrap(err, "network link %s of this machine: cannot be set up", name);
	return 0;
}

int net_host_end_open(const struct restore *r, struct netlink *host, const NetHostEnd *end,
		      struct error *err)
{
	const char *name = net_host_name(r, end->name);
	uint32_t index, bridge;

	if (!end->bridge)
		return 0;
	if (find_end(host, name, &index, err) ||
	    find_bridge(host, net_host_name(r, end->bridge), &bridge, err))
		return -1;
	return net_port_set(host, index, name, bridge, end->port, end->n_port, err);
}

void net_link_wait(struct netlink *own, uint32_t index)
{
	uint64_t end = now_ns() + CARRIER_WAIT_MS * 1000000ull;

	do {
		_cleanup_error_ struct error why = ERROR_INIT;
		_cleanup_buffer_ struct buffer answer = { 0 };
		const struct nlattr *state;
		const struct nlmsghdr *h;

		if (net_link_look(own, NULL, index, &answer, &h, &why) <= 0)
			return;
		state = net_link_attribute(h, IFLA_OPERSTATE, 1);
		if (!state || nla_get_u8(state) == IF_OPER_UP ||
		    nla_get_u8(state) == IF_OPER_UNKNOWN)
			return;
		pause_ms(1);
	} while (now_ns() < end);
}
