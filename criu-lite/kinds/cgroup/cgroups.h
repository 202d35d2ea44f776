/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_CGROUPS_H
#define CL_KINDS_CGROUP_CGROUPS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/*
 * The cgroups that a tree has for itself, cgroups(7): in each hierarchy that is mounted here the
 * one that holds all of the tree and nobody else, with those below it. A cgroup that it shares with
 * others is none of its own: it is not saved, and a restored tree is in that of who restores it.
 */

struct restore;
struct pid_list;

/* The topmost one in one hierarchy. */
struct cgroup_root {
	char *controllers;	/* "memory", "cpu,cpuacct", "name=systemd"; "" for version 2 */
	char *path;		/* of the cgroup, as /proc/PID/cgroup shows it to us */
	char *directory;	/* the absolute path on this machine */
	char *at;		/* the cgroup of the tree's root: .path, or one below it */
	int fd;			/* of .directory, reached from any namespace */
};

struct cgroups {
	ARRAY_OF(struct cgroup_root) roots;
};

/*
 * Those of the tree whose root is process `root`. `given` are directories of cgroups (absolute, in
 * different hierarchies) that are taken to be its own, as is the cgroup of the same path in other
 * hierarchies if the root is in it; else it is that of the root, if nobody else is in it. To be
 * called in the namespaces of the machine. Release *ret also after a failure.
 */
int cgroups_find(struct cgroups *ret, pid_t root, const char *const *given, size_t count,
		 struct error *err);
/* Appends all processes in them, each once; 0 for those that we do not see. */
int cgroups_members(const struct cgroups *c, struct pid_list *ret, struct error *err);
void cgroups_release(struct cgroups *c);
#define _cleanup_cgroups_ __attribute__((cleanup(cgroups_release)))

#endif
