/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_CHECK_H
#define CL_MIGRATE_ROOTFS_CHECK_H

#include "migrate/rootfs_table.h"

enum {
	ROOTFS_CHUNK = 256 << 10,	/* of a file, at most so much is in one change */
	ROOTFS_DEPTH_MAX = 256,
};

/* Whether what is below the directory is what the table says: every name, and the metadata of what
 * was changed since it was checked. Before the last time what differs is passed over. */
int rootfs_check(int root, const struct rootfs_table *table, bool last, struct error *err);
/* Deletes everything below the directory, but nothing on other mounts. */
int rootfs_empty(int root, struct error *err);

#endif
