/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PRECOPY_H
#define CL_STEPS_PRECOPY_H

#include "kinds/dump.h"
#include "steps/options.h"
#include "steps/preflight.h"

/*
 * The part of a checkpoint that carries memory while the program runs: rounds before the freeze
 * (docs/IMAGE.md, Rounds). For each round the tree is held for about a millisecond, in which its
 * processes and maps are read.
 */

/* What of a checkpoint is needed; all stays the caller's. */
struct precopy_run {
	struct dump *dump;		/* .out and .guard are there; nothing is held */
	struct preflight *before;	/* is looked at again before each round */
	struct memory_rounds *rounds;
};

/* Whether this kernel can tell what a running program writes to. If not, rounds would be for
 * nothing, and the caller of the checkpoint is told so. */
bool precopy_possible(const struct precopy_options *o);
/* Writes rounds until the program can be frozen for the last one. It runs when this returns. */
int precopy_rounds(struct precopy_run *run, struct error *err);

#endif
