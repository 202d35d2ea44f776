/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_SAMPLES_H
#define CL_MIGRATE_ROOTFS_SAMPLES_H

#include "images/migration.pb-c.h"
#include "kinds/mount/mount_outside.h"
#include "proc/tasks.h"

/*
 * Whether two machines see the same files, found without a write: the source names some files as
 * they are (those that changed last, some at random, and programs that are mapped), and the
 * destination looks for them. Inode numbers and change times, which nobody can set, tell a file
 * from its copy.
 */

/* Source: samples of all places; without_root leaves the root directory out. The caller frees *ret
 * with migrate_samples__free_unpacked. */
int samples_make(const struct mounts_outside *places, bool without_root,
		 const struct pid_list *tree, MigrateSamples **ret, struct error *err);

/* Where a place is on this machine, malloc'ed; NULL without memory. */
typedef char *(*samples_locate)(void *context, const MigrateSamples__Place *place);
/* Destination: what is not the same. Foreign input: the message may hold anything. The caller frees
 * *ret with migrate_samples_seen__free_unpacked. */
int samples_compare(const MigrateSamples *m, samples_locate locate, void *context,
		    MigrateSamplesSeen **ret, struct error *err);

/* Source: ERROR_BLOCKED if the destination has other files. A file that has changed here since says
 * nothing; *ret_unsure: too many have, ask again. */
int samples_judge(const MigrateSamples *m, const MigrateSamplesSeen *seen, bool *ret_unsure,
		  struct error *err);

#endif
