/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_SOURCE_H
#define CL_MIGRATE_SOURCE_H

#include "migrate/messages.h"
#include "migrate/rootfs.h"
#include "migrate/transport.h"
#include "steps/checkpoint.h"

struct target;

/* The sending side: criu-lite migrate. */

struct migrate_options {
	const struct target *target;
	struct transport_options transport;
	const char *where;		/* "HOST:PORT"; NULL with --via */
	const char *state_directory;	/* NULL: the usual one */
	struct stream_options stream;
	const struct external *externals;
	size_t externals_count;
	enum tcp_policy tcp;
	bool stop_and_copy;		/* all is carried in the freeze, else as these say: */
	unsigned max_downtime_ms, max_rounds;
	enum rootfs_policy rootfs;
	const char *container;		/* name of the target, if that is how it was named */
	/* What has just begun, and what a round of memory has brought, for people; may be NULL.
	 * Called in other processes, too. */
	void (*progress)(const char *what);
	void (*round)(const struct precopy_progress *p);
};

enum { MIGRATE_STEPS_MAX = 16 };

struct migrate_report {
	uint8_t id[ID_SIZE];
	struct step_time times[MIGRATE_STEPS_MAX];
	size_t steps;
	struct checkpoint_report checkpoint;
	/* Parts of the downtime, nanoseconds. */
	uint64_t saving_ns;	/* from the freeze to the seal */
	uint64_t ready_ns;	/* from the seal to READY */
	uint64_t commit_ns;	/* from READY to COMMIT: our own record and freezer */
	uint64_t running_ns;	/* from COMMIT to RUNNING */
	uint64_t downtime_ns;	/* all of it */
	uint64_t total_ns;
	unsigned rounds;
	int pid;		/* of the root, there */
	bool runs_there;
	bool asked;		/* only an answer after the connection had broken told so */
};

/*
 * Moves the tree. 0: it runs there, and is gone here. -1: it runs here as before, or, where the
 * message says so, waits frozen for "criu-lite migrate --resolve".
 */
int migrate(const struct migrate_options *options, struct migrate_report *report,
	    struct error *err);

#endif
