/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_TMPFS_H
#define CL_KINDS_MOUNT_TMPFS_H

#include <stddef.h>

#include "images/mounts.pb-c.h"
#include "images/tmpfs.pb-c.h"
#include "kinds/objects.h"

/* What a tmpfs of the tree holds: the entries are in messages of kind tmpfs, the contents of its
 * regular files are objects of kind tmpfs-file. */

extern const struct kind tmpfs_kind, tmpfs_file_kind;

enum { TMPFS_NS_PER_S = 1000000000, TMPFS_DEPTH_MAX = 256 };

/* ---- dump ---- */

/* A file system as nothing else is mounted on it. */
struct tmpfs_view {
	int fd;			/* its root directory */
	const char *mount_point; /* where processes see that */
	int tree_root;		/* their root directory */
};

/* Writes what the file system at this position in Mounts.file_systems holds. */
int tmpfs_dump(struct dump *d, uint32_t file_system, const struct tmpfs_view *view,
	       struct error *err);
/* Writes an object for a regular file of it; *fd is open for reading and taken over when its
 * content is to be carried. A mount may cover what processes would reach by that path. */
int tmpfs_file_dump(struct dump *d, int *fd, const struct stat *st, uint32_t file_system,
		    uint32_t entry, const char *path, bool covered, uint32_t inode_flags,
		    struct error *err);

/* ---- restore ---- */

struct tmpfs_content {
	ARRAY_OF(const Tmpfs__Entry *) entries;
	int root;	/* its root directory, writable; -1 until tmpfs_make() */
};

struct tmpfs_contents {
	struct tmpfs_content *items;	/* as many as file systems */
	size_t count;
};

/* Finds and checks the entries of all file systems in the messages; ERROR_IMAGE. Release *ret also
 * after a failure. They live as long as r. */
int tmpfs_load(struct restore_objects *r, const Mounts *m, struct tmpfs_contents *ret,
	       struct error *err);
/* Makes everything in an empty file system (`fd`, kept as a duplicate), files without content. */
int tmpfs_make(struct tmpfs_content *content, int fd, struct error *err);
/* In a further round of a pre-copy: makes what was made of `former` what `content` says, and takes
 * it over. A regular file that has the same path as before is the same file, with its content. */
int tmpfs_again(struct tmpfs_content *content, struct tmpfs_content *former, struct error *err);
/* Gives directories the times that they had, when nothing is made in them any more. */
int tmpfs_settle(struct tmpfs_content *content, struct error *err);
/* Opens an entry; -1 with errno. */
int tmpfs_open(const struct tmpfs_content *content, uint32_t entry, int flags);
void tmpfs_contents_release(struct tmpfs_contents *contents);

/* Those of a restore, from the slot of the kind mounts; NULL when there is none. */
struct tmpfs_contents *mounts_contents(struct restore *r);

#endif
