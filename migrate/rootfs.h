/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_H
#define CL_MIGRATE_ROOTFS_H

#include "kinds/mount/mount_outside.h"
#include "migrate/link.h"
#include "migrate/rootfs_apply.h"
#include "migrate/rootfs_copy.h"
#include "proc/tasks.h"

/* The files of a tree that has a root file system: what both sides say about them. */

enum rootfs_policy {
	ROOTFS_SHARED,	/* both sides see the same files */
	ROOTFS_SYNC,	/* they are copied */
};

/* Where the root file system of the tree, and other files that it has mounted, are on this
 * machine: nothing, if its root directory is the machine's. Release *ret also after a failure. */
int rootfs_find(pid_t root, const struct external *externals, size_t externals_count,
		struct mounts_outside *ret, struct error *err);
/* Source, with the destination's consent: both must see the same files. ERROR_BLOCKED: they do not.
 */
int rootfs_compare(struct link *l, const struct mounts_outside *places, bool without_root,
		   const struct pid_list *tree, struct error *err);
/* Destination: answers that. root is where the root file system is here, or NULL. */
int rootfs_answer(struct link *l, const ProtobufCMessage *samples, const char *root,
		  const struct external *externals, size_t externals_count, struct error *err);

/* Source: tells the destination that the files come, and brings all but the last changes. `name` is
 * that of the container, or NULL. Release *c also after a failure. */
int rootfs_begin(struct rootfs_copy *c, struct link *l, const struct mounts_outside *places,
		 const char *name, const struct stream_options *stream, struct error *err);
/* The image has begun, and the freeze is near. */
int rootfs_go_on(struct rootfs_copy *c, struct error *err);
/* The tree is held: the rest. */
int rootfs_end(struct rootfs_copy *c, const struct dump *d, struct error *err);
/* It runs there, and what is here was left behind: it may come back. */
void rootfs_leave(const struct mounts_outside *places, const char *name);

/* Destination: answers rootfs_begin(). root is a path of which the part from `below` on is the
 * source's. */
int rootfs_accept(struct rootfs_target *t, struct link *l, const ProtobufCMessage *rootfs,
		  const char *root, size_t below, struct error *err);

#endif
