/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_RESTORE_H
#define CL_STEPS_RESTORE_H

#include "base/error.h"
#include "steps/options.h"
#include "steps/steps.h"

enum { RESTORE_STEPS_MAX = 40 };

/* What a restore took. */
struct restore_report {
	struct step_time times[RESTORE_STEPS_MAX];
	size_t steps;
	pid_t root_pid;
	size_t processes, threads;
	int relay;	/* master of the terminal that the tree got in place of the caller's, or -1;
			 * the caller's to close */
};

/* Brings the tree of options->input back; when it returns 0 the tree runs, its root a child of this
 * process. No task runs before the image's seal has been read and verified; after a failure there
 * is nothing left of it. */
int restore(const struct restore_options *options, struct restore_report *report,
	    struct error *err);

#endif
