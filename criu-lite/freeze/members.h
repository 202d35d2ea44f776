/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_FREEZE_MEMBERS_H
#define CL_FREEZE_MEMBERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct pid_list;

/* Whether a process is one of the tree or a descendant of one, or has ended. */
bool members_descends(pid_t pid, const struct pid_list *tree);
/* Appends the processes of this cgroup and those below it; 0 for one that is in a pid namespace
 * which we do not see. */
int members_list(int directory, struct pid_list *ret, struct error *err);
/* Whether every process in the cgroup of this directory and in those below it is one of the tree
 * or a descendant of one, and there is at least one. */
bool members_only(const char *directory, const struct pid_list *tree);

#endif
