/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_FREEZE_MEMBERS_H
#define CL_FREEZE_MEMBERS_H

#include <stdbool.h>

struct pid_list;

/* Whether every process in the cgroup of this directory and in those below it is one of the tree
 * or a descendant of one, and there is at least one. */
bool members_only(const char *directory, const struct pid_list *tree);

#endif
