/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/waiting.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "guard/guard.h"
#include "kernel-compat/calls.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/frozen.h"
#include "kinds/task/late_locks.h"
#include "proc/tasks.h"
#include "steps/release.h"

enum {
	FREEZE_TIMEOUT_MS = 5000,
	END_TIMEOUT_MS = 10000,
	THAW_TRIES = 50,
	THAW_PAUSE_NS = 100 * 1000 * 1000,
};

static int list_tasks(const struct restore *r, struct pid_list *ret, struct error *err)
{
	struct restore_task **t;
	pid_t *place;

	array_for(t, &r->tasks) {
		if ((*t)->zombie)
			continue;
		place = array_add(&ret->pids);
		if (!place)
			return error_set(err, ERROR_FAILED, ENOMEM, "freezer cgroup");
		*place = (*t)->threads.items[0]->tracee.tgid;
	}
	return 0;
}

/* Who is in the tree's pid namespace cannot end its first process, so it must not thaw the tree
 * either. */
static bool ends_from_outside(const struct restore *r)
{
	return r->container.namespaces & CLONE_NEWPID;
}

/* What it guards is ended first, then the cell is thawed. */
static int tell_guard(const struct restore *r, const struct cell *cell, struct error *err)
{
	const struct guard_freezer freezer = frozen_told(&cell->freezer);

	return guard_freezer_moves(r->guard, 0, &freezer, err);
}

static int tell_guard_of_tasks(const struct restore *r, struct error *err)
{
	struct restore_task **t;

	array_for(t, &r->tasks)
		if (!(*t)->zombie && guard_keep_process(r->guard, (*t)->pidfd, err))
			return -1;
	return 0;
}

/* The topmost cgroup of the tree's own that has a freezer. */
static int find_own(struct restore *r, struct cell *cell, struct error *err)
{
	struct freezers found;
	int failed = cgroups_freezers(r, &found, err);

	if (!failed && found.count) {
		cell->freezer = found.items[0];
		cell->freezer.was_frozen = false;
		found.items[0].dir = -1;
		found.items[0].path = NULL;
	}
	freezers_release(&found);
	return failed;
}

static int find_or_make(struct restore *r, const struct waiting_room *room, struct cell *cell,
			struct error *err)
{
	_cleanup_pid_list_ struct pid_list us = { 0 };
	pid_t *ourselves = array_add(&us.pids);

	if (!ourselves)
		return error_set(err, ERROR_FAILED, ENOMEM, "freezer cgroup");
	*ourselves = getpid();
	if (find_own(r, cell, err))
		return -1;
	if (cell->freezer.path)
		return room->found(room->context, cell, err);
	if (cell_plan(cell, &us, room->cell_name, err) ||
	    room->found(room->context, cell, err) ||
	    guard_will_make(r->guard, GUARD_CGROUP, 0, cell->freezer.path, err))
		return -1;
	return cell_make(cell, err);
}

int waiting_prepare(struct restore *r, const struct waiting_room *room, struct cell *cell,
		    struct error *err)
{
	return find_or_make(r, room, cell, err) ||
			       (ends_from_outside(r) && tell_guard(r, cell, err)) ?
		       -1 :
		       0;
}

int waiting_begin(struct restore *r, const Tree *tree, struct cell *cell, struct error *err)
{
	_cleanup_pid_list_ struct pid_list pids = { 0 };

	if (tell_guard_of_tasks(r, err) || (!ends_from_outside(r) && tell_guard(r, cell, err)) ||
	    (cell->made && (list_tasks(r, &pids, err) || cell_add(cell, &pids, err))))
		return -1;
	/* Whoever is let go meets the freezer before anything else. */
	return cell_freeze(cell, 0, err) || release_go(r, tree, err) ||
			       cell_wait_frozen(cell, FREEZE_TIMEOUT_MS, err) ?
		       -1 :
		       0;
}

void waiting_undo(struct restore *r, struct cell *cell)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct restore_task **t;

	array_for(t, &r->tasks)
		if (!(*t)->zombie)
			sys_pidfd_send_signal((*t)->pidfd, SIGKILL);
	if (ends_from_outside(r))
		return;
	if (cell->freezer.frozen && cell_thaw(cell, &failed))
		log_info("%s", failed.message);
	array_for(t, &r->tasks) {
		struct pollfd ended = { .fd = (*t)->pidfd, .events = POLLIN };

		if (!(*t)->zombie && !(*t)->threads.items[0]->tracee.held)
			poll(&ended, 1, END_TIMEOUT_MS);
	}
}

void waiting_end_first(struct cell *cell, int first)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (first >= 0)
		sys_pidfd_send_signal(first, SIGKILL);
	if (cell->freezer.dir >= 0 && cell_thaw(cell, &failed))
		log_info("%s", failed.message);
}

void waiting_dissolve(struct cell *cell)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (cell_dissolve(cell, &failed))
		log_info("%s", failed.message);
}

/* One that is to be frozen is so now, in all of its freezers, and thawed in no other. */
static bool stays(struct restore *r, const struct cell *cell)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (cgroups_pause(r, &failed))
		log_notice("%s", failed.message);
	return cgroups_stays_frozen(r, &cell->freezer);
}

void waiting_go(struct restore *r, const struct waiting_room *room, struct cell *cell)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	const bool late = r->late_locks.count;
	int tries;

	/* The old tree ends once it is known there, and its locks with it. */
	if (late) {
		room->went(room->context);
		late_locks_wait(r);
		late_locks_hold(r);
	}
	/* It is decided: it must not be ended any more, whatever the matter is. */
	for (tries = 0; !stays(r, cell) && cell_thaw(cell, &failed); tries++) {
		if (tries == THAW_TRIES)
			return;
		log_notice("%s", failed.message);
		error_clear(&failed);
		nanosleep(&(struct timespec){ .tv_nsec = THAW_PAUSE_NS }, NULL);
	}
	if (late)
		late_locks_take(r);
	else
		room->went(room->context);
	if (cell_dissolve(cell, &failed))
		log_info("%s", failed.message);
}
