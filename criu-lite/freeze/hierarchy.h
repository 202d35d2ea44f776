/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_FREEZE_HIERARCHY_H
#define CL_FREEZE_HIERARCHY_H

#include <stdbool.h>
#include <stddef.h>

#include "proc/mountinfo.h"

/*
 * Where the cgroups of /proc/PID/cgroup are in the file system, cgroups(7). `controllers` is what
 * stands there: "cpu,cpuacct", "name=systemd", "" for version 2; one of them is enough.
 */

/* Whether the word of this length is among those that `list` has between commas. */
bool hierarchy_has_word(const char *list, const char *word, size_t length);
/* Whether a mount shows that hierarchy. */
bool hierarchy_is_mount(const struct proc_mount *m, const char *controllers);
/* The directory of cgroup `path`, malloc'ed; *ret_top (may be NULL) is the length of the mount
 * point in it. NULL when it is below none of the mounts, is the root of one, or without memory. */
char *hierarchy_directory(const struct proc_mounts *mounts, const char *controllers,
			  const char *path, size_t *ret_top);
/* The other way round: the path of the cgroup in `directory` if that is in this hierarchy;
 * malloc'ed, NULL when it is not, or is the root of a mount. */
char *hierarchy_path(const struct proc_mounts *mounts, const char *controllers,
		     const char *directory);

#endif
