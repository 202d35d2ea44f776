/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FROZEN_H
#define CL_KINDS_FROZEN_H

#include "guard/guard.h"
#include "kinds/dump.h"

/*
 * The part of the tree's own freezer cgroups in holding it. A cgroup is frozen only until all
 * threads are seized; one that was found frozen is thawed while they are held and frozen again
 * before they are let go. The guard is told of each write before it is made.
 */

struct pid_list;

/* A freezer as the guard is told of it. If we die it shall be thawed, unless the caller sets
 * .was_frozen. */
struct guard_freezer frozen_told(const struct freezer *f);

/* Tells the guard of the tree of these pids, if d->freezers were found for it: a process that is
 * frozen, and not seized yet, may have to be put right after our death, too. */
int frozen_watch(struct dump *d, const struct pid_list *tree, struct error *err);
/* Freezes the tree. That it has no freezer, or one that does not freeze it, is no error. */
int frozen_begin(struct dump *d, struct error *err);
/* All threads are seized and asked to stop: thaws what keeps them from stopping. */
int frozen_let_stop(struct dump *d, struct error *err);
/* All have stopped and are saved: thaws what keeps them from working for us. */
int frozen_let_work(struct dump *d, struct error *err);
/* While something is done that the tasks, which are all held, must not meet if we die in the
 * middle: they stay frozen until the guard has put it right. Without a freezer nothing is done. */
int frozen_stay(struct dump *d, struct error *err);
int frozen_stay_no_more(struct dump *d, struct error *err);
/* The freezers are to be as they were found; before the threads are let go. */
void frozen_settle(struct dump *d);

#endif
