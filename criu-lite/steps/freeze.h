/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_FREEZE_H
#define CL_STEPS_FREEZE_H

#include "kinds/dump.h"
#include "steps/preflight.h"

/*
 * The part of the tree's own freezer cgroups in holding it. A cgroup is frozen only until all
 * threads are seized; one that was found frozen is thawed while they are held and frozen again
 * before they are let go. The guard is told of each write before it is made.
 */

/* Finds the freezers: d->freezers. */
int freeze_find(struct dump *d, const struct preflight *before, struct error *err);
/* Freezes the tree. That it has no freezer, or one that does not freeze it, is no error. */
int freeze_begin(struct dump *d, struct error *err);
/* All threads are seized and asked to stop: thaws what keeps them from stopping. */
int freeze_let_stop(struct dump *d, struct error *err);
/* All have stopped and are saved: thaws what keeps them from working for us. */
int freeze_let_work(struct dump *d, struct error *err);
/* The freezers are to be as they were found; before the threads are let go. */
void freeze_settle(struct dump *d);

#endif
