/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tun and tap links cannot be made by netlink. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "kinds/net/link.h"

static bool has(const NetLink *link, uint32_t type)
{
	const NetAttribute *a = net_attribute(link->data, link->n_data, type);

	return a && a->value.data[0];
}

static int flags_of(const NetLink *link)
{
	const NetAttribute *type = net_attribute(link->data, link->n_data, IFLA_TUN_TYPE);

	return (type && type->value.data[0] == IFF_TAP ? IFF_TAP : IFF_TUN) |
	       (has(link, IFLA_TUN_PI) ? 0 : IFF_NO_PI) |
	       (has(link, IFLA_TUN_VNET_HDR) ? IFF_VNET_HDR : 0) |
	       (has(link, IFLA_TUN_MULTI_QUEUE) ? IFF_MULTI_QUEUE : 0);
}

/* Who may open it, where somebody is named. */
static int set_owners(int fd, const NetLink *link)
{
	uint32_t owner = net_attribute_u32(link->data, link->n_data, IFLA_TUN_OWNER, -1);
	uint32_t group = net_attribute_u32(link->data, link->n_data, IFLA_TUN_GROUP, -1);

	if (owner != UINT32_MAX && ioctl(fd, TUNSETOWNER, (unsigned long)owner))
		return -1;
	if (group != UINT32_MAX && ioctl(fd, TUNSETGROUP, (unsigned long)group))
		return -1;
	return 0;
}

int net_tun_make(const struct container *c, const NetLink *link, struct error *err)
{
	_cleanup_free_ char *path = container_host_path(c, "/dev/net/tun");
	_cleanup_fd_ int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct ifreq request = { .ifr_flags = flags_of(link) };
	unsigned int index = link->index;

	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link->name);
	if (ioctl(fd, TUNSETIFINDEX, &index) || ioctl(fd, TUNSETIFF, &request) ||
	    set_owners(fd, link) || ioctl(fd, TUNSETPERSIST, 1ul))
		return error_set(err, ERROR_FAILED, errno, "ioctl of /dev/net/tun");
	return 0;
}
