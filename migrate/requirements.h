/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_REQUIREMENTS_H
#define CL_MIGRATE_REQUIREMENTS_H

#include "images/migration.pb-c.h"
#include "kinds/blockers.h"
#include "proc/tasks.h"

/* What a tree needs of the machine that it shall go to, found before it is touched. */

/* Collects it of a tree that runs, as this machine numbers its processes, root first; what lies in
 * its own namespaces (CLONE_NEW…) it brings along. rootfs is its root directory, NULL if that is
 * "/". The caller frees it with migrate_requirements__free_unpacked. */
MigrateRequirements *requirements_collect(const struct pid_list *tree, uint64_t namespaces,
					  const char *rootfs, struct error *err);
/* Adds a blocker for everything that is not here. Foreign input: the message may hold anything. */
int requirements_check(const MigrateRequirements *m, struct blockers *blockers, struct error *err);
/* The same for its root directory, which is `path` here. */
int requirements_check_root(const char *path, struct blockers *blockers, struct error *err);

/* Blockers as a message, and back. */
MigrateVerdict *verdict_make(const struct blockers *blockers, struct error *err);
int verdict_read(const MigrateVerdict *m, struct blockers *blockers, struct error *err);

#endif
