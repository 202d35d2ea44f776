/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "network/links.h"

int netns_enter(int netns, int *ret_back, struct error *err)
{
	_cleanup_fd_ int here = -1;

	*ret_back = -1;
	if (netns < 0)
		return 0;
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here < 0 || setns(netns, CLONE_NEWNET))
		return error_set(err, ERROR_FAILED, errno, "cannot enter a network namespace");
	*ret_back = steal_fd(&here);
	return 0;
}

int netns_leave(int *back, struct error *err)
{
	_cleanup_fd_ int here = steal_fd(back);

	if (here >= 0 && setns(here, CLONE_NEWNET))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot go back to our network namespace");
	return 0;
}

int netns_socket(int netns, int domain, int type, int protocol, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	int back;

	if (netns_enter(netns, &back, err))
		return -1;
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		error_set(err, ERROR_FAILED, errno, "cannot open a socket");
	if (netns_leave(&back, err))
		return -1;
	return steal_fd(&fd);
}

int netns_close(int network, struct error *err)
{
	_cleanup_links_ struct links links = { 0 };
	struct stat its, ours;
	int back, failed;

	if (network < 0 || fstat(network, &its) || stat("/proc/self/ns/net", &ours) ||
	    its.st_ino == ours.st_ino)
		return 0;
	if (netns_enter(network, &back, err))
		return -1;
	failed = links_read(&links, err);
	links_take_down(&links);
	return netns_leave(&back, err) || failed ? -1 : 0;
}
