/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a message must be before anything is done with it. */
#include <limits.h>
#include <string.h>
#include <sys/mount.h>

#include "kinds/mount/mount_build.h"
#include "kinds/mount/mount_types.h"
#include "proc/mountinfo.h"

enum {
	MOUNT_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NOATIME |
		      MS_NODIRATIME | MS_RELATIME,
	SUPER_FLAGS = MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME,
	MOUNTS_MAX = 4096,
	OPTIONS_MAX = 64,
};

bool mounts_path_is_good(const char *path, bool absolute)
{
	if (strlen(path) >= PATH_MAX || (absolute && *path != '/') || (!absolute && *path == '/'))
		return false;
	path += absolute;
	while (*path) {
		size_t length = strcspn(path, "/");

		if (!length || length > NAME_MAX || !strncmp(path, ".", length) ||
		    !strncmp(path, "..", length))
			return false;
		path += length;
		if (*path == '/' && !*++path)
			return false;
	}
	return true;
}

static int check_file_system(const Mounts__FileSystem *fs, struct error *err)
{
	if (mount_class(fs->type) == MOUNT_FOREIGN)
		return error_set(err, ERROR_IMAGE, 0, "a file system of type '%s' cannot be made",
				 fs->type);
	if (fs->flags & ~(uint64_t)SUPER_FLAGS || fs->n_options > OPTIONS_MAX)
		return error_set(err, ERROR_IMAGE, 0, "file system %s: flags %llx, %zu options",
				 fs->type, (unsigned long long)fs->flags, fs->n_options);
	for (size_t i = 0; i < fs->n_options; i++)
		if (!mount_takes_option(fs->type, fs->options[i]))
			return error_set(err, ERROR_IMAGE, 0,
					 "a file system of type %s has no option '%s'", fs->type,
					 fs->options[i]);
	return 0;
}

static const char *what_is_wrong(const Mounts *m, size_t i)
{
	const Mounts__Mount *one = m->mounts[i];

	if (!mounts_path_is_good(one->path, true))
		return "its path";
	if (i ? !one->has_parent || one->parent >= i : one->has_parent || strcmp(one->path, "/"))
		return "what it is mounted on";
	if (!mounts_path_is_good(one->place, false) || (!i && *one->place))
		return "its place";
	if (one->flags & ~(uint64_t)MOUNT_FLAGS)
		return "its flags";
	if (one->has_file_system && (one->file_system >= m->n_file_systems || one->host_path ||
				     !one->root || !mounts_path_is_good(one->root, true)))
		return "its file system";
	if (!one->has_file_system && (one->root || one->has_cgroup_levels ||
				      (one->host_path && one->host_path[0] != '/')))
		return "its source";
	if (one->has_cgroup_levels && one->cgroup_levels > PATH_MAX)
		return "its cgroup";
	if (one->unbindable && (one->shared || one->master))
		return "its propagation";
	return NULL;
}

int mounts_check(const Mounts *m, struct error *err)
{
	size_t i;

	if (!m->n_mounts || m->n_mounts > MOUNTS_MAX || m->n_file_systems > m->n_mounts)
		return error_set(err, ERROR_IMAGE, 0, "%zu mounts of %zu file systems",
				 m->n_mounts, m->n_file_systems);
	for (i = 0; i < m->n_file_systems; i++)
		if (check_file_system(m->file_systems[i], err))
			return -1;
	for (i = 0; i < m->n_mounts; i++) {
		const char *wrong = what_is_wrong(m, i);

		if (wrong)
			return error_set(err, ERROR_IMAGE, 0, "mount %zu (%s): %s is impossible",
					 i, m->mounts[i]->path, wrong);
	}
	return 0;
}
