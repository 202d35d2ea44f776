/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_APPLY_H
#define CL_MIGRATE_ROOTFS_APPLY_H

#include "images/codec.h"
#include "images/migration.pb-c.h"
#include "migrate/rootfs_table.h"

/*
 * The destination of a copy: does what messages say strictly below a directory. They are foreign
 * input: whatever they hold, nothing else is touched. Errors of theirs are ERROR_PEER.
 */

struct rootfs_target {
	int root;		/* the directory, locked by flock(2); -1: there is none */
	struct rootfs_table table;
	struct scratch scratch;
	uint64_t next_number;	/* of inodes in the table */
	int file;		/* the one that was written to last; -1: none */
	char *file_path;
	bool whole;		/* the last pass has been checked */
};

#define ROOTFS_TARGET_NONE ((struct rootfs_target){ .root = -1, .file = -1 })

/*
 * Opens or makes the directory `below` (absolute, as the peer says it) under `top` ("" or a
 * directory of the operator's). It must be empty, or hold a copy of the same origin that was not
 * finished or was left behind, which is deleted: else ERROR_BLOCKED. Release *t also after a
 * failure.
 */
int rootfs_target_open(struct rootfs_target *t, const char *top, const char *below,
		       const char *origin, struct error *err);
int rootfs_target_apply(struct rootfs_target *t, const MigrateFiles *m, struct error *err);
/* ERROR_PEER if files have come, but not all of them. */
int rootfs_target_check(const struct rootfs_target *t, struct error *err);
/* It is in use from now on, and no copy any more. */
int rootfs_target_keep(struct rootfs_target *t, struct error *err);
void rootfs_target_release(struct rootfs_target *t);

#endif
