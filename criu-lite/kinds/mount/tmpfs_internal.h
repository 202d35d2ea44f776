/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_TMPFS_INTERNAL_H
#define CL_KINDS_MOUNT_TMPFS_INTERNAL_H

#include "kinds/mount/tmpfs.h"

/* What making the contents of a tmpfs is made of. */

/* Opens the directory with this number; -1 with errno. */
int tmpfs_open_directory(const struct tmpfs_content *c, uint32_t number);
/* Makes *dir the directory that the entry is in, unless it is (*current is its number). -1 with
 * errno. */
int tmpfs_go_to(const struct tmpfs_content *c, const Tmpfs__Entry *e, uint32_t *current, int *dir);
/* Makes an entry in its directory; a directory does not get its state yet. */
int tmpfs_make_entry(const struct tmpfs_content *c, int dir, const Tmpfs__Entry *e,
		     struct error *err);
/* Owner, mode, attributes and times; `dir` is the directory it is in, or for the root itself. */
int tmpfs_give_state(int dir, const Tmpfs__Entry *e, struct error *err);

#endif
