/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PREFLIGHT_TREE_H
#define CL_STEPS_PREFLIGHT_TREE_H

#include "kinds/dump.h"

/* Names what is against saving these processes as a tree: that we are one of them, a debugger,
 * namespaces of their own, memory or threads' settings shared in ways that cannot be made again.
 * looks[0] is the root; parents before children. */
int preflight_tree(const struct task_look *looks, size_t count, struct blockers *blockers,
		   struct error *err);

#endif
