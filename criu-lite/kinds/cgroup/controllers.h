/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_CONTROLLERS_H
#define CL_KINDS_CGROUP_CONTROLLERS_H

#include <stddef.h>

#include "images/cgroup.pb-c.h"

/* Version 2: lets the controllers that a cgroup had act on it, by switching them on in those above
 * it, from its mount point (the first `top` bytes of its path) down. They stay on, as they do for
 * whoever makes cgroups; what cannot be had shows when their properties are set. */
void controllers_enable(const char *directory, size_t top, const CgroupDirectory *m);

#endif
