/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_AGENT_H
#define CL_TRACEE_AGENT_H

#include "tracee/batch.h"
#include "tracee/tracee.h"

/*
 * The agent: one page of position-independent code in a foreign process that executes batches.
 *
 * An area is one page of code, then data: a batch header, records growing up, their data growing
 * down, and at the very end a signal frame with which a hijacked program gets its own state back
 * by rt_sigreturn(2) if nobody traces it any more. Each batch ends with a queued signal that is
 * ignored, whose delivery stop is how we get control back; without a tracer the agent falls
 * through to the frame.
 */

#define AGENT_CODE_SIZE 4096u
#define AGENT_DATA_SIZE (256u * 1024)
#define AGENT_SIZE (AGENT_CODE_SIZE + AGENT_DATA_SIZE)

struct agent {
	uint64_t address;	/* of the area in the process; 0 when there is none */
	int stop_signal;	/* the signal of our stop */
	bool puppet;		/* a puppet dies with us: no frame, no disposition to put back */
	bool ignored_before;	/* see agent_install */
	/* where single calls can be made without an agent, found by agent_install */
	uint64_t gadget;	/* `syscall; ret` */
	uint64_t sigreturn;	/* `mov $15, %eax; syscall` */
	/* the safety net on the program's stack, and what was there */
	uint64_t net;
	void *net_saved;
	size_t net_size;
};

struct vma_list;

/* Puts an agent into the process of a held tracee whose registers are saved. Anything that runs
 * untraced from any moment of this on recovers by itself. */
int agent_install(struct agent *a, struct tracee *t, struct error *err);
/* Runs the batch in this thread (of the agent's process). Afterwards the thread's live registers
 * are the agent's; tracee_restore() gives the found ones back. A failed BATCH_MUST call makes
 * ERROR_TARGET that names the system call and its errno. */
int agent_run(const struct agent *a, struct tracee *t, struct batch *b, struct error *err);
/* Takes the agent out of the process again and restores the thread. */
int agent_remove(struct agent *a, struct tracee *t, struct error *err);
void agent_release(struct agent *a);

#endif
