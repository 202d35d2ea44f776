/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_PROPERTIES_H
#define CL_KINDS_CGROUP_PROPERTIES_H

#include <stdbool.h>

#include "base/error.h"
#include "images/cgroup.pb-c.h"

/*
 * What can be set of a cgroup: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst. Only files
 * that the table names are read, and written.
 */

enum property_when {
	PROPERTY_EARLY,	/* before there is a process in it: what it needs to get in */
	PROPERTY_LATE,	/* when all of its memory is there: what limits it */
};

/* Appends all of a cgroup to the .properties of a message on the heap, which owns them. */
int properties_read(int dir, const char *controllers, CgroupDirectory *ret,
		    struct error *err);

/* Whether all of them are in the table for a cgroup of this hierarchy: ERROR_IMAGE. */
int properties_verify(const char *controllers, const CgroupDirectory *m, struct error *err);
/* Sets those of one moment; what is as it shall be is left alone. ERROR_BLOCKED names the last one
 * that cannot be had; `path` of the cgroup is for messages. */
int properties_write(int dir, const char *path, const char *controllers,
		     const CgroupDirectory *m, enum property_when when, struct error *err);

#endif
