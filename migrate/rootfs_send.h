/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_SEND_H
#define CL_MIGRATE_ROOTFS_SEND_H

#include "images/codec.h"
#include "images/migration.pb-c.h"
#include "migrate/link.h"

/* Changes on their way to the destination: gathered, so that a message has many of them. */
struct rootfs_sender {
	struct link *link;
	enum message_kind kind;		/* MESSAGE_FILES, or MESSAGE_LATE_FILES */
	bool packs;			/* with zstd … */
	int level;			/* … at this level */
	struct scratch scratch;
	MigrateFiles__Change **changes;
	size_t count, bytes;		/* gathered */
	uint64_t sent_ns;		/* when the last message went */
	uint64_t all_changes, all_bytes; /* since the pass began */
};

/* Each takes over what it is given, also when it fails. */
int rootfs_send_make(struct rootfs_sender *s, const char *path, MigrateFiles__Entry *entry,
		     struct error *err);
int rootfs_send_entry(struct rootfs_sender *s, const char *path, MigrateFiles__Entry *entry,
		      struct error *err);
int rootfs_send_link(struct rootfs_sender *s, const char *path, const char *other,
		     struct error *err);
int rootfs_send_removed(struct rootfs_sender *s, const char *path, struct error *err);
int rootfs_send_resize(struct rootfs_sender *s, const char *path, uint64_t size,
		       struct error *err);
int rootfs_send_data(struct rootfs_sender *s, const char *path, uint64_t offset, const void *data,
		     size_t size, struct error *err);
int rootfs_send_hole(struct rootfs_sender *s, const char *path, uint64_t offset, uint64_t size,
		     struct error *err);
/* So that the destination knows that we live while there is nothing to be sent. */
int rootfs_send_life(struct rootfs_sender *s, struct error *err);
/* Everything gathered, and the end of a pass. */
int rootfs_send_end(struct rootfs_sender *s, uint64_t names, uint64_t digest, bool last,
		    struct error *err);
void rootfs_sender_release(struct rootfs_sender *s);

#endif
