/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/links.h"

#include <errno.h>
#include <net/if_arp.h>
#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

static void cleanup_socket_p(struct nl_sock **s)
{
	nl_socket_free(*s);
}

static void cleanup_cache_p(struct nl_cache **c)
{
	nl_cache_free(*c);
}

static int add(struct links *ret, struct rtnl_link *from, struct error *err)
{
	struct nl_addr *address = rtnl_link_get_addr(from);
	const char *kind = rtnl_link_get_type(from);
	struct link *link = array_add(&ret->list);

	if (!link)
		return error_set(err, ERROR_FAILED, ENOMEM, "interfaces");
	link->ifindex = rtnl_link_get_ifindex(from);
	snprintf(link->name, sizeof(link->name), "%s", rtnl_link_get_name(from));
	snprintf(link->kind, sizeof(link->kind), "%s", kind ? kind : "");
	link->lower = rtnl_link_get_link(from);
	link->loopback = rtnl_link_get_flags(from) & IFF_LOOPBACK;
	link->master = rtnl_link_get_master(from);
	link->ethernet = rtnl_link_get_arptype(from) == ARPHRD_ETHER && address &&
			 nl_addr_get_len(address) == sizeof(link->mac);
	if (link->ethernet)
		memcpy(link->mac, nl_addr_get_binary_addr(address), sizeof(link->mac));
	return 0;
}

int links_read(struct links *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_cache_p))) struct nl_cache *cache = NULL;
	__attribute__((cleanup(cleanup_socket_p))) struct nl_sock *s = nl_socket_alloc();
	int failed;

	*ret = (struct links){ 0 };
	if (!s)
		return error_set(err, ERROR_FAILED, ENOMEM, "interfaces");
	failed = nl_connect(s, NETLINK_ROUTE);
	if (!failed)
		failed = rtnl_link_alloc_cache(s, AF_UNSPEC, &cache);
	if (failed)
		return error_set(err, ERROR_FAILED, 0, "cannot list interfaces: %s",
				 nl_geterror(failed));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o))
		if (add(ret, (struct rtnl_link *)o, err)) {
			links_release(ret);
			return -1;
		}
	return 0;
}

const struct link *links_named(const struct links *links, const char *name)
{
	const struct link *link;

	array_for(link, &links->list)
		if (!strcmp(link->name, name))
			return link;
	return NULL;
}

const struct link *links_numbered(const struct links *links, int ifindex)
{
	const struct link *link;

	array_for(link, &links->list)
		if (link->ifindex == ifindex)
			return link;
	return NULL;
}

bool link_is_entrance(const struct link *link)
{
	static const char *const lie_on_others[] = { "bridge", "bond", "team", "vrf", "vlan",
						     "dummy", "macsec" };

	for (size_t i = 0; i < ARRAY_SIZE(lie_on_others); i++)
		if (!strcmp(link->kind, lie_on_others[i]))
			return false;
	return link->ethernet && !link->loopback;
}

void links_release(struct links *links)
{
	array_release(&links->list);
}

void links_take_down(const struct links *links)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct link *link;

	array_for(link, &links->list) {
		struct ifreq request = { 0 };

		if (link->loopback)
			continue;
		memcpy(request.ifr_name, link->name, sizeof(request.ifr_name));
		if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
			continue;
		request.ifr_flags &= ~IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
}
