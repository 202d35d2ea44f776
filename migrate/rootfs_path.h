/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_PATH_H
#define CL_MIGRATE_ROOTFS_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Paths below a directory that a peer may name. */

enum { ROOTFS_NS_PER_S = 1000000000 };

/* Whether it consists of ordinary components, separated by one "/" each; "" does. */
bool rootfs_path_is_good(const char *path);
/* Opens it below the directory, without a link or another mount on the way, and no link itself:
 * openat2(2) with O_CLOEXEC, O_NOFOLLOW and O_NONBLOCK. "" is the directory. -1 with errno. */
int rootfs_open(int root, const char *path, int flags);
/* Opens the directory that the last component is in, which *ret_name becomes. */
int rootfs_open_parent(int root, const char *path, const char **ret_name);

static inline int64_t rootfs_ns(const struct timespec *t)
{
	return t->tv_sec * (int64_t)ROOTFS_NS_PER_S + t->tv_nsec;
}

#endif
