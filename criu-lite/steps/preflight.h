/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PREFLIGHT_H
#define CL_STEPS_PREFLIGHT_H

#include "kinds/blockers.h"
#include "kinds/container.h"
#include "proc/maps.h"
#include "proc/tasks.h"

/*
 * Looking at a tree while it runs, without stopping or touching it.
 */

struct preflight_task;

struct preflight {
	const struct container *container;	/* what it has of its own; the caller's */
	bool closes_connections;	/* those that leave the tree need not be saved */
	ARRAY_OF(struct preflight_task *) tasks;
};

/* Reads every process of the tree under `root` and collects all that cannot be saved. A process
 * that ends meanwhile is passed over, a root that is not there is an error. What looks like a
 * blocker only because the tree was changing (a pipe between the fork of one end and the close of
 * the other) is gone in the next look, and is not reported. Release *p also after a failure. */
int preflight_look(struct preflight *p, pid_t root, struct blockers *blockers, struct error *err);
/* Whether the root of the tree that was seen has a controlling terminal. */
bool preflight_root_has_terminal(const struct preflight *p);
/* Looks again at what there is, for preflight_flags() and _pids(), without judging it. */
int preflight_again(struct preflight *p, pid_t root, struct error *err);
/*
 * The flags of a process's areas (smaps) cost a walk over all its page tables, so they are not read
 * again while it is frozen: gives `maps`, read now, the flags that were seen in preflight if the
 * process is the same and its areas are too. False if they are not, or if the process is so small
 * that reading them again is better.
 */
bool preflight_flags(const struct preflight *p, pid_t pid, uint64_t start_time,
		     struct vma_list *maps);
/* The pids that were seen, root first, without zombies; added to *list, which the caller
 * releases. */
int preflight_pids(const struct preflight *p, struct pid_list *list, struct error *err);
void preflight_release(struct preflight *p);

#endif
