/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_CGROUP_H
#define CL_PROC_CGROUP_H

#include <stdint.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/cgroup, cgroups(7): where a task is in each mounted hierarchy, one line
 * "id:controllers:path" for each. Version 2 is the line with id 0 and no controllers. Paths are
 * relative to the root of the reader's cgroup namespace, "/../x" when outside of it.
 */

struct proc_cgroup {
	uint32_t hierarchy;	/* 0: cgroup version 2 */
	const char *controllers; /* "cpu,cpuacct", "name=systemd"; "" in version 2 */
	const char *path;
	bool deleted;		/* the cgroup is removed; its " (deleted)" is cut off */
};

struct proc_cgroups {
	ARRAY_OF(struct proc_cgroup) items;
	struct string_arena strings;
};

/* The caller releases *ret. */
int proc_parse_cgroups(const char *text, size_t size, struct proc_cgroups *ret, struct error *err);
int proc_read_cgroups(int pid_dir, struct proc_cgroups *ret, struct error *err);
/* The line of a version 1 controller ("freezer", "name=systemd"), or with "" that of version 2;
 * NULL when there is none. */
const struct proc_cgroup *proc_cgroups_find(const struct proc_cgroups *cgroups,
					    const char *controller);
void proc_cgroups_release(struct proc_cgroups *cgroups);
#define _cleanup_proc_cgroups_ __attribute__((cleanup(proc_cgroups_release)))

#endif
