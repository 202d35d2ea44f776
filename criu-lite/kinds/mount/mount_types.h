/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_TYPES_H
#define CL_KINDS_MOUNT_MOUNT_TYPES_H

#include <stdbool.h>

#include "base/error.h"
#include "images/mounts.pb-c.h"

/* What is known of file system types, and making a file system. */

enum mount_class {
	MOUNT_FOREIGN,	/* on a device or a server, or unknown: never made, comes from outside */
	MOUNT_KERNEL,	/* what it shows is the kernel's: made anew without contents */
	MOUNT_EMPTY,	/* made anew as long as nothing is in it */
	MOUNT_MEMORY,	/* its contents are carried */
	MOUNT_LAYERS,	/* overlay: made anew of directories of the machine */
	MOUNT_CGROUP,	/* a kernel's one that is the same everywhere, with a root of its own */
};

enum mount_class mount_class(const char *type);
/* Whether a file system of this type takes this option ("key" or "key=value"). */
bool mount_takes_option(const char *type, const char *option);
/*
 * Makes it: a detached mount of it, not read-only itself, fsopen(2), fsmount(2). A file system
 * that carries contents is made writable, whatever its flags say (mount_make_readonly()).
 * Namespaces are the caller's.
 */
int mount_make(const Mounts__FileSystem *fs, int *ret_fd, struct error *err);
/* Makes the file system of this mount read-only as a whole, fspick(2). */
int mount_make_readonly(int fd, struct error *err);

#endif
