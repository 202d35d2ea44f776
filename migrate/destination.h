/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_DESTINATION_H
#define CL_MIGRATE_DESTINATION_H

#include "kinds/container.h"
#include "kinds/stdio.h"
#include "migrate/link.h"
#include "steps/restore.h"

/* The receiving side: criu-lite receive. */

/* --root-map FROM=TO: where a root directory of the source is here. */
struct root_map {
	const char *from;	/* with its length … */
	size_t length;
	const char *to;		/* … and what stands behind the "=" */
};

struct receive_options {
	const char *state_directory;	/* NULL: the usual one */
	int jobs;
	enum stdio_policy stdio;
	const char *stdio_file;
	const struct root_map *root_maps;
	size_t root_maps_count;
	const struct external *externals;
	size_t externals_count;
	bool overcommit;	/* trees may need more memory than is available */
};

struct receive_report {
	uint8_t id[ID_SIZE];
	bool asked;		/* nothing was moved: the source only asked */
	bool runs_here;
	struct restore_report restore;
};

/*
 * Serves one connection, to its end, which is the caller's to release. 0: a tree runs here, our
 * child, or a question was answered. -1: nothing of it is here.
 */
int destination_serve(const struct receive_options *options, struct link *link,
		      struct receive_report *report, struct error *err);

#endif
