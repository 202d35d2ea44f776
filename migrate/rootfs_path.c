/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>

#include "kernel-compat/calls.h"

bool rootfs_path_is_good(const char *path)
{
	size_t length;

	if (!*path)
		return true;
	if (strlen(path) >= PATH_MAX)
		return false;
	for (;; path += length + 1) {
		length = strcspn(path, "/");
		if (!length || length > NAME_MAX || (length == 1 && path[0] == '.') ||
		    (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[length])
			return true;
	}
}

int rootfs_open(int root, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (flags & O_PATH ? flags : flags | O_NONBLOCK) | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	if (!rootfs_path_is_good(path)) {
		errno = EINVAL;
		return -1;
	}
	return sys_openat2(root, *path ? path : ".", &how);
}

int rootfs_open_parent(int root, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	if (!*path || !rootfs_path_is_good(path)) {
		errno = EINVAL;
		return -1;
	}
	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return rootfs_open(root, "", O_RDONLY | O_DIRECTORY);
	memcpy(parent, path, slash - path);
	parent[slash - path] = '\0';
	return rootfs_open(root, parent, O_RDONLY | O_DIRECTORY);
}
