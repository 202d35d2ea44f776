/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_HERE_H
#define CL_KINDS_CGROUP_HERE_H

#include "base/array.h"
#include "images/cgroup.pb-c.h"
#include "kinds/restore.h"
#include "runtime/runtime.h"

/* What a restore knows of the cgroups; for the files of kinds/cgroup/ only. */

/* One hierarchy of the message, as it is here. */
struct cgroup_place {
	const CgroupHierarchy *m;
	char *directory;	/* absolute path of the topmost cgroup */
	int *fds;		/* of its directories, as many as the message has */
};

/* Where a thread is that is not in the topmost cgroup. */
struct cgroup_lodger {
	pid_t tid;
	uint32_t place, directory;
};

struct cgroups_here {
	ARRAY_OF(struct cgroup_place) places;
	ARRAY_OF(struct runtime_cgroup) told;	/* the same, for the runtime */
	ARRAY_OF(char *) made;	/* absolute paths, parents first */
	ARRAY_OF(struct cgroup_lodger) lodgers;	/* by tid, then by place */
};

/* NULL: there are none. */
struct cgroups_here *cgroups_here_of(struct restore *r);

/* How hierarchies are called in messages. */
static inline const char *cgroup_version(const char *controllers)
{
	return *controllers ? controllers : "version 2";
}

/* Makes the cgroups of one hierarchy, with the properties that come first, and appends its place;
 * cgroup_undo() takes away what was made, also after a failure. One that is there already is taken
 * if nobody is in it, ERROR_BLOCKED else. */
struct proc_mounts;
int cgroups_make(struct restore *r, struct cgroups_here *here, const struct proc_mounts *mounts,
		 const CgroupHierarchy *m, struct error *err);
/* Appends a place to here->told. */
int cgroups_told(struct cgroups_here *here, const struct cgroup_place *p, struct error *err);
/* Fills here->lodgers. */
int cgroups_list_lodgers(struct cgroups_here *here, struct error *err);
/* Fails unless the puppets, which stay in their cgroups, are in the same as those lodgers. */
int cgroups_check_homes(struct restore *r, const struct cgroup_lodger *were, size_t count,
			struct error *err);

#endif
