/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_TARGET_H
#define CL_STEPS_TARGET_H

#include <sys/types.h>

#include "base/error.h"
#include "kinds/blockers.h"
#include "kinds/cgroup/cgroups.h"
#include "runtime/runtime.h"

/*
 * What shall be saved, as it is named: a process, a cgroup, or a container of a runtime. Of the
 * last two the cgroup is wholly theirs: all that is in it belongs to one tree, or cannot stay.
 */

struct target_name {
	pid_t pid;		/* -t; 0: not given */
	const char *cgroup;	/* --cgroup: an absolute path, of a directory or, where there is no
				 * such directory, in the hierarchies */
	const char *container;	/* --container: "RUNTIME:ID" */
};

struct target {
	pid_t pid;		/* root of the tree */
	char *cgroup;		/* directory of the cgroup to freeze; NULL: not known */
	struct cgroups cgroups;	/* all that are the tree's own; none for one named by a pid */
	struct runtime_container container;	/* .runtime is NULL when there is none */
};

/*
 * ERROR_USAGE unless exactly one is given; ERROR_TARGET: there is nobody. To be called in the
 * namespaces of the machine, as is target_check(). Release *ret also after a failure.
 *
 * The root of a container is its init; that of a cgroup is the process in it whose parent is not,
 * and the oldest of them if there are several.
 */
int target_resolve(struct target *ret, const struct target_name *name, struct error *err);
/* Names the processes in the cgroups that are not of the tree: they came from outside (as by `runc
 * exec`, which is no child of the container's init), or have lost their parent to somebody
 * outside. */
int target_check(const struct target *t, struct blockers *blockers, struct error *err);
void target_release(struct target *t);
#define _cleanup_target_ __attribute__((cleanup(target_release)))

#endif
