/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/members.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
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
static bool descends(pid_t pid, const struct pid_list *tree)
{
	int i;

	for (i = 0; i < GENERATIONS && pid > 1; i++) {
		_cleanup_error_ struct error gone = ERROR_INIT;
		_cleanup_fd_ int dir = -1;
		struct proc_stat stat;
		char path[32];

		if (pid_list_has(tree, pid))
			return true;
		snprintf(path, sizeof(path), "/proc/%d", pid);
		dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		/* One that has ended meanwhile does not matter. */
		if (dir < 0 || proc_read_stat(dir, &stat, &gone))
			return true;
		pid = stat.ppid;
	}
	return false;
}

static bool procs_belong(int directory, const struct pid_list *tree, size_t *count)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	char *at, *end;
	long pid;

	if (read_file_at(directory, "cgroup.procs", &text))
		return false;
	for (at = text.data; at && *at; at = *end == '\n' ? end + 1 : end) {
		pid = strtol(at, &end, 10);
		/* 0 is one in a pid namespace that we do not see. */
		if (end == at || pid <= 0 || !descends(pid, tree))
			return false;
		(*count)++;
	}
	return true;
}

static bool belong(int directory, const struct pid_list *tree, size_t *count, int depth)
{
	_cleanup_dir_ DIR *stream = NULL;
	const struct dirent *entry;
	int copy;

	if (depth == DEPTH || !procs_belong(directory, tree, count))
		return false;
	copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		fd_close(&copy);
		return false;
	}
	while ((entry = readdir(stream))) {
		_cleanup_fd_ int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0 && !belong(below, tree, count, depth + 1))
			return false;
	}
	return true;
}

bool members_only(const char *directory, const struct pid_list *tree)
{
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t count = 0;

	return fd >= 0 && belong(fd, tree, &count, 0) && count;
}
