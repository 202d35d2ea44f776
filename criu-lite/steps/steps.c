/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/steps.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

const char *steps_fault_wish(const char *point)
{
	const char *wish = getenv("CRIU_LITE_FAULT");
	size_t length = strlen(point);

	if (!wish || strncmp(wish, point, length) || (wish[length] && wish[length] != ':'))
		return NULL;
	return wish + length;
}

void steps_fault_end(const char *point)
{
	const char *wish = steps_fault_wish(point) ?: "";

	if (!strcmp(wish, ":kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(wish, ":stop"))
		kill(getpid(), SIGSTOP);
}

/* Whether the environment asks for a fault at this point: "NAME" or "NAME:after". */
static int inject(const char *step, bool after, struct error *err)
{
	const char *wish = steps_fault_wish(step);

	if (!wish)
		return 0;
	if (after) {
		if (strncmp(wish, ":after", 6))
			return 0;
		wish += 6;
	}
	if (!strcmp(wish, ":kill"))
		kill(getpid(), SIGKILL);
	if (*wish)
		return 0;
	return error_set(err, ERROR_FAILED, 0, "fault injected %s this step",
			 after ? "after" : "before");
}

static int run_one(const struct step *step, void *context, struct error *err)
{
	if (inject(step->name, false, err) || step->run(context, err) ||
	    inject(step->name, true, err))
		return error_wrap(err, "%s", step->name);
	return 0;
}

void steps_undo(const struct step *steps, size_t count, void *context)
{
	while (count-- > 0)
		if (steps[count].undo)
			steps[count].undo(context);
}

int steps_run(const struct step *steps, size_t count, void *context, struct step_time *times,
	      struct error *err)
{
	size_t i;

	for (i = 0; i < count; i++) {
		uint64_t begin = now_ns();

		if (times)
			times[i].name = steps[i].name;
		log_debug("step %s", steps[i].name);
		if (run_one(&steps[i], context, err)) {
			log_info("step %s failed: %s", steps[i].name, err->message);
			steps_undo(steps, i + 1, context);
			return -1;
		}
		if (times)
			times[i].ns = now_ns() - begin;
	}
	return 0;
}
