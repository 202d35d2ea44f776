/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_OUTSIDE_H
#define CL_KINDS_MOUNT_MOUNT_OUTSIDE_H

#include <stdbool.h>

#include "kinds/container.h"
#include "base/array.h"
#include "proc/text.h"

/* What a tree's mounts show of the machine's file systems, and where the machine has it; not those
 * that are the kernel's, as /proc. */

struct mount_outside {
	const char *path;	/* where the tree has it */
	const char *host_path;	/* the same on the machine */
	bool root;		/* the root of its mounts */
};

struct mounts_outside {
	ARRAY_OF(struct mount_outside) items;
	struct string_arena strings;
};

/* Finds that of the process, whose namespaces are in *c, from outside of them; what only
 * --external can tell is not in the list. Release *ret also after a failure. */
int mounts_outside(const struct container *c, pid_t pid, struct mounts_outside *ret,
		   struct error *err);
void mounts_outside_release(struct mounts_outside *list);
#define _cleanup_mounts_outside_ __attribute__((cleanup(mounts_outside_release)))

#endif
