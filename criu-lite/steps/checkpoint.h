/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_CHECKPOINT_H
#define CL_STEPS_CHECKPOINT_H

#include "base/error.h"
#include "kinds/container.h"
#include "steps/options.h"
#include "steps/steps.h"

struct preflight;

enum { CHECKPOINT_STEPS = 28 };

/* What a checkpoint took. */
struct checkpoint_report {
	struct step_time times[CHECKPOINT_STEPS];
	size_t steps;
	uint64_t frozen_at_ns;	/* when that began, now_ns() */
	uint64_t frozen_ns;	/* from the first thread seized to the last let go, or to when the
				 * end of all began */
	uint64_t bytes_in, bytes_out;
	size_t processes, threads;
};

/* Saves the tree under options->pid to options->output. The target runs on unharmed after every
 * failure; it is ended only once the image is sealed and synced. */
int checkpoint(const struct checkpoint_options *options, struct checkpoint_report *report,
	       struct error *err);

/* Whether it could be saved, ERROR_BLOCKED if not; nothing is touched. *before, which the caller
 * releases, is filled only for a tree that shares all namespaces with us; *ret_namespaces are those
 * (CLONE_NEW…) that it has of its own, without those that it was given. */
int checkpoint_look(const struct checkpoint_options *options, struct preflight *before,
		    uint64_t *ret_namespaces, struct error *err);
/* A checkpoint for who stands in the tree's namespaces: options->pid is a number there. *done is
 * set when all that is left to do is to end the tree, which may end the caller too. */
int checkpoint_inside(const struct checkpoint_options *options, const struct container *container,
		      struct checkpoint_report *report, bool *done, struct error *err);

#endif
