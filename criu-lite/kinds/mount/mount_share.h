/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MOUNT_MOUNT_SHARE_H
#define CL_KINDS_MOUNT_MOUNT_SHARE_H

#include "kinds/mount/mount_build.h"

/* Gives the mounts their peer groups and masters among themselves, mount_namespaces(7). All of them
 * are where they belong: from then on what is mounted on one comes to others. */
int mounts_share(const Mounts *m, const struct mount_set *set, struct error *err);

#endif
