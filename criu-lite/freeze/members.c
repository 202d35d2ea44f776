/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/members.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "proc/stat.h"
#include "proc/tasks.h"

enum {
	GENERATIONS = 64,	/* that one can be away from the tree as it was seen */
	DEPTH = 32,		/* of cgroups */
};

/* A process that was born since the tree was looked at has an ancestor in it. */
bool members_descends(pid_t pid, const struct pid_list *tree)
{
	int i;

	for (i = 0; i < GENERATIONS && pid > 0; i++) {
		_cleanup_error_ struct error gone = ERROR_INIT;
		struct proc_stat stat;

		if (pid_list_has(tree, pid))
			return true;
		/* One that has ended meanwhile does not matter. Just before it goes for good, it
		 * has no parent any more. */
		if (proc_stat_of(pid, &stat, &gone) || stat.state == 'X' ||
		    (stat.state == 'Z' && !stat.ppid))
			return true;
		pid = stat.ppid;
	}
	return false;
}

static int list_procs(int directory, struct pid_list *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	char *at, *end;

	if (read_file_at(directory, "cgroup.procs", &text)) {
		/* The processes of a threaded cgroup are told by the one above it. */
		if (errno == EOPNOTSUPP || errno == ENODEV)
			return 0;
		return error_set(err, ERROR_TARGET, errno, "cgroup.procs");
	}
	for (at = text.data; at && *at; at = *end == '\n' ? end + 1 : end) {
		long pid = strtol(at, &end, 10);
		pid_t *added;

		if (end == at || pid < 0 || pid > INT_MAX)
			return error_set(err, ERROR_TARGET, 0, "cgroup.procs holds no pids");
		added = array_add(&ret->pids);
		if (!added)
			return error_set(err, ERROR_FAILED, ENOMEM, "cgroup.procs");
		*added = pid;
	}
	return 0;
}

static int list_below(int directory, struct pid_list *ret, int depth, struct error *err)
{
	_cleanup_dir_ DIR *stream = NULL;
	const struct dirent *entry;
	int copy;

	if (depth == DEPTH)
		return error_set(err, ERROR_TARGET, 0, "cgroups are nested deeper than %d", DEPTH);
	if (list_procs(directory, ret, err))
		return -1;
	copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		fd_close(&copy);
		return error_set(err, ERROR_TARGET, errno, "cgroup");
	}
	while ((entry = readdir(stream))) {
		_cleanup_fd_ int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* It may have been removed meanwhile. */
		if (below >= 0 && list_below(below, ret, depth + 1, err))
			return -1;
	}
	return 0;
}

int members_list(int directory, struct pid_list *ret, struct error *err)
{
	return list_below(directory, ret, 0, err);
}

bool members_only(const char *directory, const struct pid_list *tree)
{
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_error_ struct error unknown = ERROR_INIT;
	_cleanup_pid_list_ struct pid_list members = { 0 };
	const pid_t *pid;

	if (fd < 0 || members_list(fd, &members, &unknown))
		return false;
	array_for(pid, &members.pids)
		if (!*pid || !members_descends(*pid, tree))
			return false;
	return members.pids.count > 0;
}
