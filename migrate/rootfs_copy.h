/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_COPY_H
#define CL_MIGRATE_ROOTFS_COPY_H

#include "migrate/rootfs_send.h"
#include "migrate/rootfs_table.h"

/*
 * The source of a copy: passes over all that is below a directory, each of which sends what is not
 * yet there as it is here. A file has not changed if its change time has not, or if its parts have
 * the contents that were sent.
 */

/* A directory, or one more, whose metadata goes when all that is in it is done. */
struct rootfs_late {
	struct rootfs_name *name;
	MigrateFiles__Entry *entry;
};

struct rootfs_copy {
	int root;
	struct rootfs_sender sender;
	struct rootfs_table table;	/* what the destination has */
	unsigned pass;
	ARRAY_OF(struct rootfs_late) late;
	/* Inodes that can change without another time: they are mapped. */
	ARRAY_OF(uint64_t) mapped;
	char *buffer;
};

/* Opens the directory as nothing else is mounted on it. Release *c also after a failure. */
int rootfs_copy_open(struct rootfs_copy *c, const char *path, struct link *link,
		     const struct stream_options *stream, struct error *err);
/* One pass. last: nothing changes any more. */
int rootfs_copy_pass(struct rootfs_copy *c, bool last, struct error *err);
/* Passes until there is little that has changed since the last. */
int rootfs_copy_passes(struct rootfs_copy *c, struct error *err);
void rootfs_copy_release(struct rootfs_copy *c);

/* rootfs_content.c: sends what has changed of a regular file, which is in that directory. */
int rootfs_copy_content(struct rootfs_copy *c, int directory, const char *name, const char *path,
			struct rootfs_inode *inode, struct error *err);

#endif
