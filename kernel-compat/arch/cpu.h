/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_ARCH_CPU_H
#define CL_ARCH_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a processor offers to programs beyond the common base of its architecture, and how the
 * extended state of a thread is laid out on it. An image is only restored where nothing of this is
 * missing: programs choose their code by it once and for all.
 */

enum {
	ARCH_CPU_WORDS = 10,
	ARCH_CPU_COMPONENTS = 63,	/* by number; 0 and 1 are in the fixed part of the area */
	ARCH_XSTATE_FIXED = 576,	/* legacy area and header of the XSAVE layout */
	ARCH_XSTATE_MAX = 64 * 1024,
};

/* Components that a thread has room for only once it has used them: AMX tile data. A process asks
 * for the permission first. */
#define ARCH_XSTATE_ON_DEMAND (1ull << 18)

struct arch_cpu {
	uint32_t words[ARCH_CPU_WORDS];	/* images/cpu.proto */
	uint64_t components;		/* of extended state that are in use */
	struct {
		uint32_t offset, size;	/* bytes; size 0: not there */
	} layout[ARCH_CPU_COMPONENTS];
	uint32_t state_size;		/* of the whole area, as ptrace(2) wants it */
};

/* The processor that we run on. */
void arch_cpu_read(struct arch_cpu *ret);
/* Writes the names of what `wanted` has and `here` has not, with commas between; returns how many
 * there are. */
int arch_cpu_missing(const struct arch_cpu *wanted, const struct arch_cpu *here, char *names,
		     size_t size);
/* Whether extended state has a component of ARCH_XSTATE_ON_DEMAND in use. */
bool arch_xstate_on_demand(const void *state, size_t size);
/* Moves extended state from one layout to another: to->state_size bytes at ret. Returns 0, or -1
 * when the state does not fit its own layout or has something that `to` lacks. */
int arch_xstate_convert(const struct arch_cpu *from, const void *state, size_t size,
			const struct arch_cpu *to, void *ret);

#endif
