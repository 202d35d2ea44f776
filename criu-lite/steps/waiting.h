/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_WAITING_H
#define CL_STEPS_WAITING_H

#include "freeze/cell.h"
#include "guard/guard.h"
#include "images/held_packets.pb-c.h"
#include "images/tree.pb-c.h"
#include "kinds/restore.h"

/*
 * A restored tree that waits for word from elsewhere before it may run: complete, let go by us, and
 * frozen in its cell. Until it was decided that it runs it dies with us; from then on it waits on
 * by itself, and one write lets it run.
 */
struct waiting_room {
	const char *cell_name;	/* of the cgroup that is made for a tree that has none of its own */
	/* The cell is known, and about to be made if it is ->made. Called where paths are those of
	 * the machine, as nothing else of this. */
	int (*found)(void *context, const struct cell *cell, struct error *err);
	/* restore_options.ready() has succeeded: makes the decision last, whatever becomes of us.
	 * When it fails the tree is ended. */
	int (*decide)(void *context, struct error *err);
	/* Where that writes it down, but for .writer. */
	void (*where)(void *context, struct guard_decision *ret);
	/* Whoever called that may have died in it: whether the decision was made. Called where
	 * paths are those of the machine. */
	bool (*was_decided)(void *context);
	/* It runs. */
	void (*went)(void *context);
	/* After that: the packets that came to where it was meanwhile; the caller frees them. May
	 * be NULL. */
	int (*packets)(void *context, HeldPackets **ret, struct error *err);
	void *context;
};

/* Before there is a task of the tree, which is born where we are unless it has cgroups of its own:
 * finds or makes its cell. To be called in the namespaces of the machine. */
int waiting_prepare(struct restore *r, const struct waiting_room *room, struct cell *cell,
		    struct error *err);
/* Every task is complete and held by us: puts the tree into its cell and lets go of it. */
int waiting_begin(struct restore *r, const Tree *tree, struct cell *cell, struct error *err);
/* Ends the tree in its cell, which stays; also after a failure of waiting_begin(). */
void waiting_undo(struct restore *r, struct cell *cell);
/* A tree in a pid namespace of its own is only ended by its first process (a pidfd, or -1), from
 * outside, whatever waiting_undo() has done: sends it SIGKILL, then thaws the cell. */
void waiting_end_first(struct cell *cell, int first);
/* Takes waiting_prepare() back. */
void waiting_dissolve(struct cell *cell);
/* Lets it run, unless it was found frozen: the one write. That cannot fail any more: a tree that
 * cannot be thawed stays as it is, for somebody to look at. A cell that we have made goes after
 * that. */
void waiting_go(struct restore *r, const struct waiting_room *room, struct cell *cell);

#endif
