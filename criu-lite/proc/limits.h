/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_LIMITS_H
#define CL_PROC_LIMITS_H

#include <stdint.h>
#include <sys/resource.h>

#include "proc/text.h"

/*
 * /proc/PID/limits, proc(5): soft and hard resource limits, readable where prlimit(2) is not.
 */

enum { PROC_LIMITS = 16 };

struct proc_limits {
	uint32_t present;	/* 1 << RLIMIT_* */
	struct {
		uint64_t soft, hard;	/* units of setrlimit(2); UINT64_MAX: RLIM_INFINITY */
	} limit[PROC_LIMITS];	/* by RLIMIT_* */
};

/* All 16 must be there; further ones are passed over. */
int proc_parse_limits(const char *text, size_t size, struct proc_limits *ret, struct error *err);
int proc_read_limits(int pid_dir, struct proc_limits *ret, struct error *err);

#endif
