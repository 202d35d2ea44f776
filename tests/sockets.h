/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_SOCKETS_H
#define CL_TESTS_SOCKETS_H

/* What test programs share that look at their sockets. */

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "testing.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Its own name, or its peer's; zeros if there is none. */
static inline union address socket_address(int fd, bool peer)
{
	union address a = { 0 };
	socklen_t size = sizeof(a);

	if ((peer ? getpeername : getsockname)(fd, &a.any, &size))
		memset(&a, 0, sizeof(a));
	return a;
}

/* Of one of IP; in network order. */
static inline in_port_t port_of(int fd)
{
	union address a = socket_address(fd, false);

	test_must(a.any.sa_family == AF_INET || a.any.sa_family == AF_INET6);
	return a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port;
}

static inline int get_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	test_check(!getsockopt(fd, level, name, &value, &size), "option %d of level %d", name,
		   level);
	return value;
}

static inline void set_option(int fd, int level, int name, int value)
{
	test_check(!setsockopt(fd, level, name, &value, sizeof(value)), "option %d of level %d",
		   name, level);
}

#endif
