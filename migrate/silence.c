/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/silence.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "proc/tasks.h"

static bool is_tcp(int fd)
{
	int domain = 0, type = 0, protocol = 0;
	socklen_t size = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) &&
	       !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) &&
	       (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM &&
	       protocol == IPPROTO_TCP;
}

/* One that listens, or is closed, cannot be repaired and has nobody to tell. */
static int silence_one(struct silence *s, int pidfd, int number, struct error *err)
{
	_cleanup_fd_ int fd = sys_pidfd_getfd(pidfd, number);
	const int on = 1;
	int *place;

	if (fd < 0 || !is_tcp(fd) || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return 0;
	place = array_add(&s->sockets);
	if (!place)
		return error_set(err, ERROR_FAILED, ENOMEM, "sockets");
	*place = steal_fd(&fd);
	return 0;
}

static int silence_process(struct silence *s, pid_t pid, struct error *err)
{
	_cleanup_fd_ int pidfd = sys_pidfd_open(pid, 0);
	_cleanup_dir_ DIR *stream = NULL;
	const struct dirent *entry;
	char path[64], target[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	stream = opendir(path);
	if (pidfd < 0 || !stream)
		return 0;
	while ((entry = readdir(stream))) {
		ssize_t length = readlinkat(dirfd(stream), entry->d_name, target,
					    sizeof(target) - 1);

		if (length <= 0)
			continue;
		target[length] = '\0';
		if (!strncmp(target, "socket:", 7) &&
		    silence_one(s, pidfd, strtol(entry->d_name, NULL, 10), err))
			return -1;
	}
	return 0;
}

int silence_cell(struct silence *s, const struct cell *cell, struct error *err)
{
	_cleanup_pid_list_ struct pid_list members = { 0 };
	const pid_t *pid;

	if (cell_members(cell, &members, err))
		return -1;
	array_for(pid, &members.pids)
		if (silence_process(s, *pid, err))
			return -1;
	return 0;
}

void silence_release(struct silence *s)
{
	int *fd;

	array_for(fd, &s->sockets)
		close(*fd);
	array_release(&s->sockets);
}
