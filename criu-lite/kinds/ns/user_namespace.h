/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NS_USER_NAMESPACE_H
#define CL_KINDS_NS_USER_NAMESPACE_H

#include "kinds/restore.h"

/* Ids of an image are those of the machine. A puppet in a user namespace of its own calls them
 * otherwise: what it has to say for this id; (uint32_t)-1 if the namespace does not know it. */
uint32_t user_inside(const struct restore *r, uint32_t uid);
uint32_t group_inside(const struct restore *r, uint32_t gid);
/* A list of groups, malloc'ed; NULL on error. */
uint32_t *groups_inside(const struct restore *r, const uint32_t *groups, size_t count,
			struct error *err);

/* Gives the user namespace of the first puppet, whose number for us is `pid`, its ids. */
int user_namespace_set(const struct restore *r, pid_t pid, struct error *err);

#endif
