/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_FREEZE_CELL_H
#define CL_FREEZE_CELL_H

#include "freeze/freezer.h"

/*
 * A cell: the one cgroup with a freezer that a tree is alone in, so that a single write keeps it
 * from running or lets it run, whoever lives or dies. Either the tree has one, or we make one below
 * the cgroup that it is in and put it there for a while. Where both versions of cgroups are
 * mounted, the freezer hierarchy of version 1 is taken: nothing but freezing depends on it.
 */

struct pid_list;

struct cell {
	struct freezer freezer;	/* .path NULL: there is none; .dir -1: it is not made yet */
	bool made;		/* by us */
};
#define CELL_NONE ((struct cell){ .freezer.dir = -1 })

/* The cell of a tree of these processes, root first, as freezers_find() finds it; *ret is empty (a
 * success) if it has none. */
int cell_find(struct cell *ret, const struct pid_list *tree, const char *whole,
	      struct error *err);
/* Makes one of this name for processes that are all in one cgroup, and names its directory, without
 * making it: cell_make() does. ERROR_BLOCKED where there is no freezer, or they are not. */
int cell_plan(struct cell *ret, const struct pid_list *tree, const char *name, struct error *err);
int cell_make(struct cell *c, struct error *err);
/* Puts these processes into it; those that have ended do not count. */
int cell_add(const struct cell *c, const struct pid_list *pids, struct error *err);
/* The same for all below a root that runs, until nobody is left outside. */
int cell_add_tree(const struct cell *c, pid_t root, struct error *err);
/* A known one, for instance from a record. */
int cell_open(struct cell *ret, const char *directory, bool made, struct error *err);

/* Freezing is in force on return: within timeout_ms, or it is thawed and ERROR_TARGET. A timeout of
 * 0 does not wait. */
int cell_freeze(struct cell *c, int timeout_ms, struct error *err);
/* Returns when freezing is in force, or with ERROR_TARGET; changes nothing. */
int cell_wait_frozen(const struct cell *c, int timeout_ms, struct error *err);
/* One write(2). */
int cell_thaw(struct cell *c, struct error *err);
/* Who is in it; added to *pids. A process of a pid namespace that we do not see is ERROR_FAILED. */
int cell_members(const struct cell *c, struct pid_list *pids, struct error *err);
/* Ends all in it, frozen or not: none of them runs before. */
int cell_kill(struct cell *c, struct error *err);
/* One that we have made: puts whoever is in it where the cell is, and removes it. Others stay. */
int cell_dissolve(struct cell *c, struct error *err);
void cell_release(struct cell *c);
#define _cleanup_cell_ __attribute__((cleanup(cell_release)))

#endif
