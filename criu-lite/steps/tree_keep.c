/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/tree_keep.h"

#include <sched.h>

#include "kinds/memory_rounds.h"
#include "steps/tree_dump.h"
#include "steps/tree_plan.h"

static const struct dump_task *task_of_pid(const struct dump *d, pid_t pid)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		if (d->tasks.items[i]->pid == pid)
			return d->tasks.items[i];
	return NULL;
}

/* Whether it was below that one before. */
static bool was_below(const struct memory_rounds *m, const struct round_task *t, pid_t ancestor)
{
	while (t && t->pid != ancestor && t != m->tasks.items[0])
		t = memory_rounds_by_pid(m, t->ppid);
	return t && t->pid == ancestor;
}

/*
 * The parent has ended and another one has inherited the child: that can be done again if it was
 * an ancestor, and the same one for all children of the dead.
 */
static bool was_orphaned(const struct dump *d, const struct dump_task *task)
{
	const struct round_task *t = task->round;
	size_t i;

	if (task_of_pid(d, t->ppid) || !was_below(d->rounds, t, task->stat.ppid))
		return false;
	for (i = 0; i < d->tasks.count; i++) {
		const struct dump_task *other = d->tasks.items[i];
		const struct round_task *its = memory_rounds_find(d->rounds, other);

		if (its && its->ppid == t->ppid && other->stat.ppid != task->stat.ppid)
			return false;
	}
	return true;
}

static bool is_same(const struct dump *d, const struct dump_task *task, bool root)
{
	const struct dump_task *parent = root ? NULL : task_of_pid(d, task->stat.ppid);
	const struct round_task *t = task->round;

	/* Where nothing is known of what it has written to, all is brought, and as a whole. */
	if (!t || (!task->zombie && t->dirty.uffd < 0))
		return false;
	if (t->sid != task->stat.session || (t->zombie && !task->zombie))
		return false;
	if (!task->zombie && t->shares_fs != task->shares_fs)
		return false;
	/* A terminal is there at the birth of a session's members, and is a description, which no
	 * round but the last one has. */
	if (task->stat.tty_nr)
		return false;
	if (root)
		return t == d->rounds->tasks.items[0];
	return parent && parent->kept && t != d->rounds->tasks.items[0] &&
	       (t->ppid == task->stat.ppid || was_orphaned(d, task));
}

static bool group_is_there(const struct dump *d, const struct dump_task *of)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		if (d->tasks.items[i]->kept && d->tasks.items[i]->stat.pgrp == of->stat.pgrp)
			return true;
	return false;
}

/* New tasks must be born from tasks: what helpers are for has been made with those that are kept,
 * and cannot be made once more beside them. */
static bool needs_helper(const struct dump *d, const struct tree_plan *plan)
{
	const struct plan_op *op;

	array_for(op, &plan->ops) {
		const struct dump_task *who =
			op->who < plan->task_count ? d->tasks.items[op->who] : NULL;

		if (!who || who->kept)
			continue;
		if (op->kind == PLAN_CLONE && op->from != PLAN_NOBODY &&
		    op->from >= plan->task_count)
			return true;
		if (op->kind == PLAN_SETPGID && op->pgid && !task_of_pid(d, op->pgid) &&
		    !group_is_there(d, who))
			return true;
	}
	return false;
}

/* All tasks from this one on are made anew. */
static void keep_none_from(struct dump *d, size_t first)
{
	size_t i;

	for (i = first; i < d->tasks.count; i++) {
		d->tasks.items[i]->round = NULL;
		d->tasks.items[i]->kept = false;
	}
	d->rounds->fresh = first == 0;
}

int tree_keep(struct dump *d, struct error *err)
{
	_cleanup_plan_ struct tree_plan plan = { 0 };
	size_t i;

	d->rounds->fresh = d->rounds->complete == 0;
	if (d->rounds->fresh)
		return 0;
	for (i = 0; i < d->tasks.count; i++) {
		struct dump_task *task = d->tasks.items[i];

		task->round = memory_rounds_find(d->rounds, task);
		task->kept = is_same(d, task, i == 0);
	}
	for (i = 0; i < d->tasks.count; i++)
		if (!d->tasks.items[i]->kept)
			d->tasks.items[i]->round = NULL;
	if (tree_dump_plan(d, &plan, err))
		return -1;
	if (!d->tasks.items[0]->kept)
		keep_none_from(d, 0);
	else if (plan.helpers.count && needs_helper(d, &plan))
		keep_none_from(d, 1);
	/* With the first process of a pid namespace all of that would have to be built anew. */
	if (d->rounds->fresh && d->container.namespaces & CLONE_NEWPID)
		return error_set(err, ERROR_FAILED, 0, "process %d has another session, terminal or "
				 "user of its directories than when its memory was first copied",
				 d->tasks.items[0]->pid);
	return 0;
}
