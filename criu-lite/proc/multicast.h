/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_MULTICAST_H
#define CL_PROC_MULTICAST_H

#include <stdint.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/net/igmp and /proc/PID/net/igmp6: the multicast groups that some socket (or the kernel)
 * of the network namespace has joined, by interface.
 */

struct proc_group {
	uint32_t interface;	/* index */
	uint8_t address[16];	/* network order; 4 bytes of it for IPv4 */
};

struct proc_groups {
	ARRAY_OF(struct proc_group) items;
};

/* The caller releases *ret with array_release(&ret->items). */
int proc_parse_igmp(const char *text, size_t size, struct proc_groups *ret, struct error *err);
int proc_parse_igmp6(const char *text, size_t size, struct proc_groups *ret, struct error *err);
/* ENOENT (ERROR_TARGET): the kernel has no multicast of that family. */
int proc_read_igmp(int pid_dir, struct proc_groups *ret, struct error *err);
int proc_read_igmp6(int pid_dir, struct proc_groups *ret, struct error *err);

#endif
