/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_LATE_LOCKS_H
#define CL_KINDS_TASK_LATE_LOCKS_H

#include <fcntl.h>

#include "images/file_locks.pb-c.h"
#include "kinds/restore.h"

/*
 * File locks that a tree which moves here cannot have yet: on a file that both sides see, the tree
 * that it comes from still holds them, until it is decided who runs it and that one is ended. They
 * are taken between that and the first moment that this one runs.
 */
struct late_lock {
	struct restore_task *task;
	const FileLock *lock;
	int fd;		/* ours, of the description; -1: it is held, or given up */
};

/* The range of a lock of fcntl(2). */
int file_lock_range(const FileLock *m, struct flock *ret, struct error *err);
/* Could not be had now: notes it for later. The image's message must stay. */
int late_lock_add(struct restore_task *task, const FileLock *m, struct error *err);
/* It is decided, and the old tree is about to end; this one is complete, and frozen. Takes the
 * locks of descriptions, and waits until those of processes are free, for some seconds at most. */
void late_locks_wait(struct restore *r);
/* Those of processes must be taken by themselves (fcntl(2)): takes hold of the tree … */
void late_locks_hold(struct restore *r);
/* … so that each takes its locks, once thawed, before any of them does anything else. What cannot
 * be had even now is tried for some time more while the tree runs, and then said. */
void late_locks_take(struct restore *r);
void late_locks_release(struct restore *r);

#endif
