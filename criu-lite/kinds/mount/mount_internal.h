/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_INTERNAL_H
#define CL_KINDS_MOUNT_MOUNT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "images/mounts.pb-c.h"

/* What building mounts is made of. All return -1 with errno. */

/* From one descriptor to another. */
enum { MOVE_EMPTY = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH };

/* Opens (O_PATH) what lies below the root of a mount ("": the root), on this mount itself, with no
 * link on the way. */
int mount_open_below(int mount, const char *path);
/* A detached mount of what the descriptor leads to. */
int mount_clone(int fd);
/* MS_* as in Mounts.Mount.flags. */
int mount_set_flags(int fd, uint64_t flags);
/* Whether it may be one that comes with the descriptors only: part of a devpts, with nothing
 * mounted on it. */
bool mounts_is_terminal(const Mounts *m, size_t i);

#endif
