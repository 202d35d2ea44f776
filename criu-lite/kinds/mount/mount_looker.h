/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_LOOKER_H
#define CL_KINDS_MOUNT_LOOKER_H

#include "kinds/container.h"
#include "kinds/mount/mount_plan.h"
#include "proc/cgroup.h"
#include "proc/mountinfo.h"

/* The mounts of a process beside those of the machine: what a plan is made from. */
struct mount_looker {
	const struct container *container;
	struct proc_mounts own, host;
	struct proc_cgroups cgroups;
	int root;	/* root directory of the root process */
	struct mount_look look;
};

/* Reads them, and fills l->look, which points into *l. proc_fd is an open /proc/PID. Release *l
 * also after a failure; before, .root is -1. */
int mount_look_at(struct mount_looker *l, const struct container *c, int proc_fd, pid_t pid,
		  struct error *err);
void mount_looker_release(struct mount_looker *l);
#define _cleanup_mount_looker_ __attribute__((cleanup(mount_looker_release)))

/* An O_PATH descriptor of what has this path below the directory `root`; -1 and errno. */
int mount_open_in(int root, const char *path);
/* Whether this is on the mount of that id. */
bool mount_is(int fd, int id);

#endif
