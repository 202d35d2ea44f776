/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_PROGRAMS_H
#define CL_KINDS_CGROUP_PROGRAMS_H

#include "base/error.h"
#include "images/cgroup.pb-c.h"

/*
 * BPF programs of a cgroup of version 2. Those that decide about devices, which runtimes make of
 * their lists of devices, are saved as they are: such a program knows nothing but its argument.
 * One with maps or calls, and those of other types, cannot be saved.
 */

/* Appends them to the .programs of a message on the heap, which owns them. ERROR_BLOCKED names one
 * that cannot be saved; with ret NULL that is all. */
int programs_read(int dir, const char *path, CgroupDirectory *ret, struct error *err);
/* ERROR_IMAGE when one cannot be any. */
int programs_verify(const char *controllers, const CgroupDirectory *m, struct error *err);
/* Attaches them, in their order. */
int programs_write(int dir, const char *path, const CgroupDirectory *m, struct error *err);

#endif
