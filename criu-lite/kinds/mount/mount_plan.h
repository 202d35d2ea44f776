/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_PLAN_H
#define CL_KINDS_MOUNT_MOUNT_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/array.h"
#include "images/mounts.pb-c.h"
#include "kinds/blockers.h"
#include "proc/mountinfo.h"

/* From what mountinfo tells to the message. */

struct external;

struct mount_look {
	const struct proc_mounts *own;	/* of the tree's root process */
	const struct proc_mounts *host;	/* of the machine */
	const struct external *externals;
	size_t externals_count;
	pid_t pid;			/* for blockers */
	/* Whether a path of the machine leads to what the mount shows; asked only for mounts whose
	 * file system the machine has, too. */
	bool (*same)(void *context, const struct proc_mount *own, const char *host_path);
	/* How many levels the root of a cgroup mount is above the cgroup of the root process, -1:
	 * it is none of those above. May be NULL. */
	int (*cgroup_levels)(void *context, const struct proc_mount *own);
	void *context;
};

struct mount_plan {
	Mounts message;			/* points into what follows */
	size_t count;
	Mounts__Mount *mounts;
	Mounts__Mount **mount_pointers;
	const struct proc_mount **lines;	/* what each one was made of */
	ARRAY_OF(Mounts__FileSystem) file_systems;
	Mounts__FileSystem **file_system_pointers;
	struct string_arena strings;
};

/* Plans the mounts; what cannot be is added to the blockers, and the plan is of no use then. The
 * caller releases *ret also after a failure. It lives as long as look->own. */
int mount_plan(const struct mount_look *look, struct mount_plan *ret, struct blockers *blockers,
	       struct error *err);
void mount_plan_release(struct mount_plan *plan);
#define _cleanup_mount_plan_ __attribute__((cleanup(mount_plan_release)))

/* The place of the mount among the options "--external mnt[PATH]=VALUE"; NULL: it is not there. */
const char *mount_external(const struct external *externals, size_t count, const char *path);
/* What stands below `top` in an absolute path, without a slash at its start; NULL if it is not
 * top itself or below. */
const char *mount_below(const char *path, const char *top);

#endif
