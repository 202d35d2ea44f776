/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_HOLD_H
#define CL_STEPS_HOLD_H

#include "kinds/dump.h"
#include "steps/preflight.h"

/*
 * Holding a whole tree: every thread of every process below the root is seized and stopped, until
 * no new one shows up.
 */

/* Finds the freezers of the tree of these pids, root first: d->freezers. */
struct pid_list;
int hold_find_freezers(struct dump *d, const struct pid_list *tree, struct error *err);
/* `before` is the tree as preflight saw it. Fills d->tasks, parents before children, all threads
 * held with their state saved and /proc read. A zombie is in the list with no threads. On
 * failure everything is let go again. */
int hold_tree(struct dump *d, pid_t root, const struct preflight *before, struct error *err);
/* For that: fills a task whose threads are held, if it has any left, by what /proc tells. */
int hold_read_task(struct dump_task *task, const struct preflight *before, struct error *err);
/* Lets all go on; those that are gone by themselves do not count as an error. */
void hold_release(struct dump *d);
/* Takes the agents out of all, which stay held; nothing can be run in them any more. */
void hold_clean(struct dump *d);
/* Lets one process go that does not belong to the tree after all. */
void hold_let_go(struct dump_task *task);
/* The same, but each process is left stopped by SIGSTOP. */
void hold_release_stopped(struct dump *d);
/* Ends all processes of the tree, children first, and returns when they are gone. */
void hold_kill(struct dump *d);
/* Frees the tasks; they must have been let go. */
void hold_free(struct dump *d);

#endif
