/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a copy may go. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/calls.h"
#include "migrate/rootfs_apply.h"
#include "migrate/rootfs_check.h"
#include "migrate/rootfs_meta.h"
#include "migrate/rootfs_path.h"
#include "proc/tasks.h"

enum { MARK_MAX = 4096, WAY_MODE = 0755 };

/* No link of the machine is followed in what the peer says; it may cross mounts. */
static int step_into(int directory, const char *name)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = sys_openat2(directory, name, &how);

	if (fd >= 0 || errno != ENOENT || (mkdirat(directory, name, WAY_MODE) && errno != EEXIST))
		return fd;
	return sys_openat2(directory, name, &how);
}

static int walk_to(const char *top, const char *below, struct error *err)
{
	_cleanup_fd_ int at = open(*top ? top : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *rest, *name;
	_cleanup_free_ char *text = strdup(below);
	int next;

	if (at < 0)
		return error_set(err, ERROR_BLOCKED, errno, "%s", *top ? top : "/");
	if (!text)
		return error_set(err, ERROR_FAILED, ENOMEM, "root file system");
	for (rest = text; (name = strsep(&rest, "/"));) {
		if (!*name)
			continue;
		next = step_into(at, name);
		if (next < 0) {
			error_set(err, ERROR_BLOCKED, errno, "%s/%s, for the root file system", top,
				  below);
			return error_hint(err, "say where it shall be with --root-map");
		}
		fd_close(&at);
		at = next;
	}
	return steal_fd(&at);
}

static bool is_empty(int root)
{
	int top = rootfs_open(root, "", O_RDONLY | O_DIRECTORY);
	_cleanup_dir_ DIR *dir = top < 0 ? NULL : fdopendir(top);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			return false;
	return dir;
}

/* Whether it is the root directory of a process: somebody has started what was left behind. */
static bool is_used(int root, char *ret_pid, size_t size)
{
	_cleanup_dir_ DIR *dir = opendir("/proc");
	struct dirent *entry;
	struct stat ours, its;

	while (dir && !fstat(root, &ours) && (entry = readdir(dir))) {
		char path[300];

		snprintf(path, sizeof(path), "/proc/%s/root", entry->d_name);
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || stat(path, &its) ||
		    its.st_dev != ours.st_dev || its.st_ino != ours.st_ino)
			continue;
		strlcpy(ret_pid, entry->d_name, size);
		return true;
	}
	return false;
}

static bool has_mark(int root, const char *origin)
{
	char mark[MARK_MAX];
	ssize_t size = fgetxattr(root, ROOTFS_MARK, mark, sizeof(mark));

	return size > 0 && (size_t)size == strlen(origin) && !memcmp(mark, origin, size);
}

static int take(struct rootfs_target *t, const char *origin, struct error *err)
{
	char pid[16];

	if (is_used(t->root, pid, sizeof(pid)))
		return error_set(err, ERROR_BLOCKED, 0, "it is the root directory of process %s",
				 pid);
	if (flock(t->root, LOCK_EX | LOCK_NB))
		return error_set(err, ERROR_BLOCKED, errno, "another migration has it");
	if (!is_empty(t->root)) {
		if (!has_mark(t->root, origin)) {
			error_set(err, ERROR_BLOCKED, 0,
				  "it is not empty, and no copy of this one that was broken off or "
				  "left behind");
			return error_hint(err, "empty it there, or choose another directory with "
					       "receive --root-map");
		}
		if (rootfs_empty(t->root, err))
			return -1;
	}
	if (fsetxattr(t->root, ROOTFS_MARK, origin, strlen(origin), 0))
		log_info("root file system: cannot be marked as a copy: %s", strerror(errno));
	return 0;
}

int rootfs_target_open(struct rootfs_target *t, const char *top, const char *below,
		       const char *origin, struct error *err)
{
	const char *rest = below + strspn(below, "/");

	*t = ROOTFS_TARGET_NONE;
	if (!*origin || strlen(origin) >= MARK_MAX || !rootfs_path_is_good(rest) ||
	    (!*rest && !*top))
		return error_set(err, ERROR_PEER, 0, "the source has a bad root directory");
	t->root = walk_to(top, rest, err);
	if (t->root < 0)
		return -1;
	return take(t, origin, err) ? error_wrap(err, "%s/%s, for the root file system", top, rest)
				    : 0;
}
