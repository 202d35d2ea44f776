/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_TREE_PLAN_H
#define CL_STEPS_TREE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/*
 * How to make a process tree again: a pure function from the saved tree to a list of operations.
 *
 * A session can only be inherited at birth or begun by its leader, a parent can only be chosen by
 * being born from it or by being orphaned below it. So the order matters, and sometimes a helper is
 * needed: a process that is born in the right session, bears the task and exits, or that leads a
 * group or session whose leader is no longer there.
 */

struct plan_task {
	pid_t pid, ppid, sid, pgid;	/* ppid 0: the root */
	bool zombie;
};

enum plan_op_kind {
	PLAN_CLONE,	/* `from` bears `who`; a task then gets its memory */
	PLAN_SETSID,	/* who begins a session */
	PLAN_SETPGID,	/* who joins group `pgid` (its own pid: leads it; 0: the restorer's) */
	PLAN_EXIT,	/* helper (or zombie) `who` exits and its children go to `from`; a helper is
			 * reaped by its parent `parent` */
};

struct plan_op {
	enum plan_op_kind kind;
	size_t who, from, parent;	/* indices: tasks first, then helpers; PLAN_NOBODY: us */
	pid_t pgid;
};

enum { PLAN_NOBODY = -1ul };

struct tree_plan {
	ARRAY_OF(struct plan_op) ops;
	/* Helper i has index task_count + i; its pid, or 0 when any will do that no task uses. */
	ARRAY_OF(pid_t) helpers;
	/* For each task the one whose memory it is born with (itself: the root). */
	size_t *birth;
	size_t task_count;
};

/* tasks[0] is the root. A tree that cannot be made again is ERROR_BLOCKED. */
int tree_plan(const struct plan_task *tasks, size_t count, struct tree_plan *ret,
	      struct error *err);
void tree_plan_release(struct tree_plan *plan);
#define _cleanup_plan_ __attribute__((cleanup(tree_plan_release)))

#endif
