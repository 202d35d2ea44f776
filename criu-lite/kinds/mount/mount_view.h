/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_VIEW_H
#define CL_KINDS_MOUNT_MOUNT_VIEW_H

#include <stdbool.h>

#include "kinds/mount/mount_plan.h"

/*
 * Opens mounts of the process (its /proc/PID directory) as if nothing were mounted on them or over
 * them: fds[i] for each wanted[i] of the plan, -1 for the others; the caller closes them also after
 * a failure. Done by a child with a copy of the mounts, so that nobody else sees a change.
 */
int mount_view_open(int proc_fd, const struct mount_plan *plan, const bool *wanted, int *fds,
		    struct error *err);

#endif
