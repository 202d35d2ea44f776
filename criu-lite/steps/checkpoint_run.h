/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_CHECKPOINT_RUN_H
#define CL_STEPS_CHECKPOINT_RUN_H

#include "kinds/dump.h"
#include "steps/checkpoint.h"
#include "steps/preflight.h"

/* One attempt at a checkpoint: its steps (checkpoint.c), for who runs them
 * (checkpoint_attempts.c). */

struct checkpoint_run {
	const struct checkpoint_options *options;
	struct checkpoint_report *report;
	struct dump dump;
	struct preflight before;	/* the tree as it was seen running */
	unsigned int attempt;	/* from 0 */
	uint64_t seized_ns;
	bool pages_begun;	/* there is no way back in the stream */
	bool released;
	bool taken;	/* whoever it was offered to runs it: it must not go on here */
	bool *done;
};

extern const struct step checkpoint_steps[CHECKPOINT_STEPS];

/* The end of the freeze, in the way that was asked for; once. */
void checkpoint_release(struct checkpoint_run *run);

#endif
