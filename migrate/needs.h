/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_NEEDS_H
#define CL_MIGRATE_NEEDS_H

#include "images/migration.pb-c.h"
#include "kinds/blockers.h"
#include "kinds/container.h"
#include "proc/tasks.h"
#include "steps/target.h"

/* The part of the requirements (migrate/requirements.h) that is about the machine itself: its
 * kernel, memory, cgroups, network links, and what its runtime knows. */

/* Source: adds what the tree needs. namespaces (CLONE_NEW…) are those that it has of its own. */
int needs_collect(MigrateRequirements *m, const struct target *target, const struct pid_list *tree,
		  uint64_t namespaces, struct error *err);

struct needs_options {
	const struct external *externals;	/* --external: what has other names here */
	size_t externals_count;
	bool overcommit;	/* memory need not be available */
};

/* Destination: adds a blocker for everything that is not here. Foreign input: the message may hold
 * anything. */
int needs_check(const MigrateRequirements *m, const struct needs_options *options,
		struct blockers *blockers, struct error *err);

#endif
