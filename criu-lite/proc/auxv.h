/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_AUXV_H
#define CL_PROC_AUXV_H

#include <stdint.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/auxv, proc(5), getauxval(3): the vector that the kernel gave the program at execve, or
 * that prctl(PR_SET_MM_AUXV) put there since. Binary pairs of longs; those of a 32-bit program
 * are refused.
 */

/* Laid out like the kernel's pair: .items may go to PR_SET_MM_AUXV, 16 bytes for each. */
struct auxv_entry {
	uint64_t type, value;	/* AT_* */
};

struct proc_auxv {
	ARRAY_OF(struct auxv_entry) entries;	/* the closing AT_NULL included */
};

/* A process without an address space has no entries. The caller releases *ret. */
int proc_parse_auxv(const void *data, size_t size, struct proc_auxv *ret, struct error *err);
int proc_read_auxv(int pid_dir, struct proc_auxv *ret, struct error *err);
/* False when there is no such entry. */
bool proc_auxv_find(const struct proc_auxv *auxv, uint64_t type, uint64_t *ret);
void proc_auxv_release(struct proc_auxv *auxv);
#define _cleanup_proc_auxv_ __attribute__((cleanup(proc_auxv_release)))

#endif
