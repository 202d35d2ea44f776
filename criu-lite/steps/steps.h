/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_STEPS_H
#define CL_STEPS_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A coordinator is an array of named steps. The runner times them, logs them, injects faults by
 * name, and on failure undoes what was done, last step first.
 *
 * Fault injection, for tests: CRIU_LITE_FAULT=NAME makes the step of that name fail before it
 * does anything, NAME:after right after it has succeeded, NAME:kill and NAME:after:kill end the
 * process there by SIGKILL.
 */
struct step {
	const char *name;
	int (*run)(void *context, struct error *err);
	/* Takes back what run did, also after a failure half-way; must not fail. May be NULL. */
	void (*undo)(void *context);
};

struct step_time {
	const char *name;
	uint64_t ns;
};

/* Runs `count` steps. times, if not NULL, has room for as many. On failure everything begun is
 * undone and the error says which step failed. */
int steps_run(const struct step *steps, size_t count, void *context, struct step_time *times,
	      struct error *err);

/* For points that are not steps: what the environment asks for behind the name, "" or ":kill" and
 * the like; NULL if it asks for nothing here. */
const char *steps_fault_wish(const char *point);
/* A point at which nothing can fail any more: ":kill" ends this process, ":stop" stops it. */
void steps_fault_end(const char *point);
/* Undoes `count` steps that have all run, last one first. */
void steps_undo(const struct step *steps, size_t count, void *context);

#endif
