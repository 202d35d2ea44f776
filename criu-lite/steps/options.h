/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_OPTIONS_H
#define CL_STEPS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "images/stream.h"
#include "kinds/container.h"
#include "kinds/stdio.h"

struct target;
struct parting;

/* What becomes of the program once the image is sealed. */
enum afterwards { AFTERWARDS_KILL, AFTERWARDS_RUN, AFTERWARDS_STOP };

/* What of TCP has no descriptor, or a peer that cannot be kept: TCP_KEEP refuses. */
enum tcp_policy { TCP_KEEP, TCP_CLOSE };

/* How a pre-copy goes: told after each round. */
struct precopy_progress {
	unsigned round;			/* 0 is the first */
	uint64_t pages;			/* that it has brought, of 4 KiB */
	uint64_t dirty_pages;		/* that are to be brought again by now */
	uint64_t dirty_per_second;	/* pages */
	uint64_t bytes_per_second;	/* of the connection or file, as measured */
	uint64_t expected_ns;		/* of standing still if the program is frozen now */
	bool untracked;			/* of some process each page counts as written to */
};

/* Memory is carried while the program runs, in rounds, and then what was written to since. */
struct precopy_options {
	unsigned max_downtime_ms;	/* freeze when it would not take longer than this … */
	unsigned max_rounds;		/* … or after so many rounds, the first one not counted, or
					 * when another round would not make it shorter */
	void (*progress)(void *context, const struct precopy_progress *p);	/* may be NULL */
	void *context;
};

struct checkpoint_options {
	pid_t pid;			/* root of the tree */
	const struct target *target;	/* where that comes from, steps/target.h; or NULL */
	const struct external *externals;
	size_t externals_count;
	enum tcp_policy tcp;
	int output;			/* descriptor of the image */
	enum afterwards afterwards;	/* with .precopy not AFTERWARDS_RUN */
	const struct precopy_options *precopy;	/* NULL: all is carried in the freeze */
	struct stream_options stream;
	/* What else goes over the same connection, between two records: called when the freeze is
	 * near, while the program runs, unless all is carried in the freeze; and when it is held,
	 * before it is saved. May be NULL. */
	int (*nearly)(void *context, struct error *err);
	int (*held)(void *context, const struct dump *d, struct error *err);
	void *held_context;
	/* Called once the image is sealed and synced, before the program is let go or ended: makes
	 * it findable under its name. May be NULL. */
	int (*publish)(void *context, struct error *err);
	void *publish_context;
	/* Called after that with the tree on offer (steps/parting.h): ends, as AFTERWARDS_KILL has
	 * it, when this succeeds. When it fails the tree goes on, unless ->unknown was set. NULL:
	 * the tree is offered to nobody. */
	int (*offer)(void *context, struct parting *parting, struct error *err);
	void *offer_context;
};

struct restore_options {
	int input;			/* descriptor of the image */
	const char *pidfile;		/* gets the root's pid, or NULL */
	int jobs;			/* worker threads */
	enum stdio_policy stdio;
	const char *stdio_file;		/* for STDIO_FILE */
	bool detached;			/* the caller will end while the program runs */
	const char *root;		/* the root file system of a container is here; or NULL */
	const struct external *externals;
	size_t externals_count;
	/* Called by the controller when the tree is complete, held, and has not run; when it
	 * succeeds the tree goes. May be NULL. */
	int (*ready)(void *context, struct error *err);
	void *ready_context;
	/* The input is a connection (stream_reader_open_connection()), or NULL. */
	const struct stream_control *connection;
	/* Where the tree waits for ready(), let go by us but frozen (steps/waiting.h); or NULL. */
	const struct waiting_room *waiting_room;
	bool relay;			/* the caller will copy between its terminal and
					 * report->relay, if there is one */
};

#endif
