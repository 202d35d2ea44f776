/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

bool net_is_own(const struct container *c)
{
	return c->namespaces & CLONE_NEWNET;
}

int net_open_host(const struct container *c, struct netlink *nl, struct error *err)
{
	return netlink_open_in(nl, NETLINK_ROUTE, c->host_net, err);
}

static int open_value(const char *name, int flags)
{
	char path[512];

	if (snprintf(path, sizeof(path), "/proc/sys/net/%s", name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, flags | O_CLOEXEC);
}

int net_sysctl_read(const char *name, struct buffer *ret)
{
	_cleanup_fd_ int fd = open_value(name, O_RDONLY);

	if (fd < 0 || read_fd_to_end(fd, ret))
		return -1;
	if (ret->size && ret->data[ret->size - 1] == '\n')
		ret->data[--ret->size] = 0;
	return 0;
}

int net_sysctl_write(const char *name, const char *value)
{
	_cleanup_fd_ int fd = open_value(name, O_WRONLY);

	return fd < 0 ? -1 : write_full(fd, value, strlen(value));
}
