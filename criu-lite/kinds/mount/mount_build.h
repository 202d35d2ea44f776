/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_BUILD_H
#define CL_KINDS_MOUNT_MOUNT_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "images/mounts.pb-c.h"
#include "kinds/container.h"

/* From the message to mounts. */

struct mount_set {
	size_t count, file_system_count;
	int *fds;	/* of each mount, -1: not there yet */
	int *sources; /* a mount of each file system that is the tree's own, writable and hidden */
};

/* Checks every reference, path and flag of the message: ERROR_IMAGE. */
int mounts_check(const Mounts *m, struct error *err);
/* Whether a path consists of ordinary components only; "" is fine unless it shall be absolute. */
bool mounts_path_is_good(const char *path, bool absolute);
/*
 * In the namespaces of the machine: opens what lies outside as detached mounts, open_tree(2), and
 * makes the overlays; ERROR_BLOCKED for what is not there. Release *set also after a failure.
 */
int mounts_open(const Mounts *m, const struct container *c, struct mount_set *set,
		struct error *err);
/* In the new mount namespace, which is a copy of another one: makes it private and makes the file
 * systems that the tree has of its own: set->sources. */
int mounts_make(const Mounts *m, struct mount_set *set, struct error *err);
/*
 * Then, with their contents there, puts all mounts together and makes them the mount namespace's
 * own; what was there before goes, and processes that had its root have the new one,
 * pivot_root(2). The root process (its number in /proc as it was before) tells where its cgroups
 * are.
 */
int mounts_build(const Mounts *m, struct mount_set *set, pid_t root, struct error *err);
/* Whether mounts_build() had to leave terminals out that are mounted somewhere (runc mounts the one
 * of a container on /dev/console): they come only with the descriptors. */
bool mounts_lack_terminals(const struct mount_set *set);
/* Mounts them, in the namespace of the process with this /proc/PID directory, and gives all mounts
 * their propagation, which had to wait. A terminal that did not come again is left out with a
 * notice. */
int mounts_finish_terminals(const Mounts *m, struct mount_set *set, int proc_fd,
			    struct error *err);
void mount_set_release(struct mount_set *set);

#endif
