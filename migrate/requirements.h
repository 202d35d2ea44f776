/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_REQUIREMENTS_H
#define CL_MIGRATE_REQUIREMENTS_H

#include "images/migration.pb-c.h"
#include "kinds/blockers.h"
#include "steps/preflight.h"

/* What a tree needs of the machine that it shall go to, found before it is touched. */

/* Collects it of a tree that runs, as preflight has seen it. The caller frees it with
 * migrate_requirements__free_unpacked. own_pids: it has a pid namespace of its own. */
MigrateRequirements *requirements_collect(const struct preflight *before, pid_t root, bool own_pids,
					  struct error *err);
/* Adds a blocker for everything that is not here. Foreign input: the message may hold anything. */
int requirements_check(const MigrateRequirements *m, struct blockers *blockers, struct error *err);

/* Blockers as a message, and back. */
MigrateVerdict *verdict_make(const struct blockers *blockers, struct error *err);
int verdict_read(const MigrateVerdict *m, struct blockers *blockers, struct error *err);

#endif
