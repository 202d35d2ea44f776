/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_FREEZE_FREEZER_H
#define CL_FREEZE_FREEZER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * The freezers of cgroups: cgroup.freeze of version 2 (Documentation/admin-guide/cgroup-v2.rst)
 * and freezer.state of version 1 (…/cgroup-v1/freezer-subsystem.rst).
 *
 * A frozen cgroup is a closed set: nothing in it forks while it is seized. In version 2, a frozen
 * task that is seized and interrupted stops for its tracer at once, but makes no system call until
 * it is thawed; in version 1 it does not even stop before.
 */

struct pid_list;

enum freezer_kind { FREEZER_NONE, FREEZER_V1, FREEZER_V2 };
/* How /proc/PID/cgroup names the hierarchy of this kind. */
const char *freezer_controller(enum freezer_kind kind);
enum { FREEZERS_MAX = 2 };

struct freezer {
	enum freezer_kind kind;
	int dir;		/* its cgroup, so that it is reached from any namespace; owned */
	char *path;		/* of that directory, for messages; owned */
	bool was_frozen;	/* when it was found */
	bool frozen;		/* as we have left it */
};

/* At most one in each hierarchy. */
struct freezers {
	struct freezer items[FREEZERS_MAX];
	size_t count;
};

/*
 * Finds the freezers under which the processes of this tree are, and nobody else. `tree` are its
 * pids, root first, in our pid namespace; children of theirs born since count as theirs. A cgroup
 * shared with others is passed over, but if it is frozen that is ERROR_BLOCKED: its tasks cannot be
 * held, nor thawed without thawing others. `whole`, if not NULL, is the directory of a cgroup that
 * is known to be all of the tree, with all that are in it: if it has a freezer, that is the one of
 * its hierarchy.
 *
 * Release *ret also after a failure. It stays of use in a process that enters other namespaces.
 */
int freezers_find(struct freezers *ret, const struct pid_list *tree, const char *whole,
		  struct error *err);
/* The same ones once more; -1 on error. */
int freezers_copy(struct freezers *ret, const struct freezers *from, struct error *err);
/* The name in .dir of the file that is written … */
const char *freezer_file(const struct freezer *f);
/* … and what is written to freeze or thaw it. */
const char *freezer_word(const struct freezer *f, bool frozen);
/* Freezes or thaws it. With a timeout, freezing waits until it is in force; if that takes longer it
 * is ERROR_TARGET, and the cgroup is thawed again. */
int freezer_set(struct freezer *f, bool frozen, int timeout_ms, struct error *err);
/* Whether the tasks of the cgroup in this directory are frozen, for whatever reason. */
bool freezer_in_force(const struct freezer *f);
void freezers_release(struct freezers *f);

#endif
