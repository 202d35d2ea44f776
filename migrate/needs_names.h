/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_NEEDS_NAMES_H
#define CL_MIGRATE_NEEDS_NAMES_H

#include <stdint.h>

/* Types of namespaces, as /proc/PID/ns and clone(2) name them. */

enum { NEEDS_NAMESPACES = 8 };

struct needs_namespace {
	const char *name;
	uint64_t flag;
};
extern const struct needs_namespace needs_namespaces[NEEDS_NAMESPACES];

#endif
