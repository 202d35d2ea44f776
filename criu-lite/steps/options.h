/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_OPTIONS_H
#define CL_STEPS_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "images/stream.h"
#include "kinds/stdio.h"

/* What becomes of the program once the image is sealed. */
enum afterwards { AFTERWARDS_KILL, AFTERWARDS_RUN, AFTERWARDS_STOP };

struct checkpoint_options {
	pid_t pid;			/* root of the tree */
	int output;			/* descriptor of the image */
	enum afterwards afterwards;
	struct stream_options stream;
	/* Called once the image is sealed and synced, before the program is let go or ended: makes
	 * it findable under its name. May be NULL. */
	int (*publish)(void *context, struct error *err);
	void *publish_context;
};

struct restore_options {
	int input;			/* descriptor of the image */
	const char *pidfile;		/* gets the root's pid, or NULL */
	int jobs;			/* worker threads */
	enum stdio_policy stdio;
	const char *stdio_file;		/* for STDIO_FILE */
	bool detached;			/* the caller will end while the program runs */
	bool relay;			/* the caller will copy between its terminal and
					 * report->relay, if there is one */
};

#endif
