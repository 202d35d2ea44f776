/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_TABLE_H
#define CL_MIGRATE_ROOTFS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

/*
 * The files below a root directory as the destination of a copy has them: names, and the inodes
 * that they lead to. Both sides have such a table, and they agree.
 */

enum { ROOTFS_NAMES_MAX = 4 << 20 };

/* A part of a file that holds data, as it was sent. */
struct rootfs_chunk {
	uint64_t index, hash;
};

struct rootfs_inode {
	struct rootfs_name *names;
	uint32_t type;		/* S_IF… */
	uint64_t digest;	/* of its metadata, rootfs_meta.h; 0: not known yet */
	bool checked;		/* destination: it is as the source had it */
	/* Source only: */
	uint64_t number;
	int64_t btime_ns, ctime_ns;
	uint64_t size, sent_size;
	unsigned pass;		/* in which it was looked at */
	bool unsettled;		/* it may have changed since without another time */
	bool touched;		/* a directory in which something was done */
	ARRAY_OF(struct rootfs_chunk) chunks;
	struct rootfs_inode *next;	/* in its bucket */
};

struct rootfs_name {
	struct rootfs_inode *inode;
	struct rootfs_name *sibling;	/* another name of the inode */
	struct rootfs_name *next;	/* in its bucket */
	unsigned pass;			/* in which it was seen */
	char path[];
};

struct rootfs_table {
	struct rootfs_name **by_path;
	struct rootfs_inode **by_number;
	size_t buckets, count;
};

struct rootfs_name *rootfs_table_find(const struct rootfs_table *t, const char *path);
/* The inode with this number, type and time of birth, which has a name; or NULL. */
struct rootfs_inode *rootfs_table_inode(const struct rootfs_table *t, uint64_t number,
					uint32_t type, int64_t btime_ns);
/* A new one without a name; NULL without memory. */
struct rootfs_inode *rootfs_table_add_inode(struct rootfs_table *t, uint64_t number, uint32_t type,
					    int64_t btime_ns);
/* Makes the path lead to the inode; an inode whose last name led elsewhere goes. NULL without
 * memory or if they are too many. */
struct rootfs_name *rootfs_table_put(struct rootfs_table *t, const char *path,
				     struct rootfs_inode *inode, struct error *err);
void rootfs_table_remove(struct rootfs_table *t, const char *path);
/* All names that were not seen in this pass, those below a directory before it; malloc'ed, NULL
 * without memory. */
struct rootfs_name **rootfs_table_unseen(const struct rootfs_table *t, unsigned pass,
					 size_t *ret_count);
/* Sum over all names of what each is worth. */
uint64_t rootfs_table_digest(const struct rootfs_table *t);
void rootfs_table_release(struct rootfs_table *t);

#endif
