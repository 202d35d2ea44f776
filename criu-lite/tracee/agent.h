/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_AGENT_H
#define CL_TRACEE_AGENT_H

#include "base/array.h"
#include "tracee/batch.h"
#include "tracee/tracee.h"

/*
 * The agent: a page of position-independent code in a foreign process that executes batches.
 *
 * Its area is one page of code and then data: the batch header with the records, the data they
 * read and write, and a signal frame with which a hijacked thread gets its own state back by
 * rt_sigreturn(2) if nobody traces it any more. Each batch ends by the thread queueing itself a
 * signal that the program ignores; its delivery stop is how we get control back, and without a
 * tracer nothing happens but the way home.
 *
 * At most one thread of a process is in the agent at a time: agent_run() and tracee_restore()
 * come in pairs when threads change.
 */

enum {
	AGENT_CODE_SIZE = 4096,
	AGENT_HEADER_SIZE = 64,
	AGENT_RECORDS_MAX = 1536,
	AGENT_RECORDS_SIZE = 96 * 1024 + 4096,	/* header and records */
	AGENT_BATCH_ROOM = 512 * 1024,		/* data of one batch; 65536 groups are half of it */
	AGENT_STACK_SIZE = 64 * 1024,	/* for a handler of the program, should one ever run here */
	AGENT_FRAME_SIZE = 20 * 1024,
	AGENT_SIZE = AGENT_CODE_SIZE + AGENT_RECORDS_SIZE + AGENT_BATCH_ROOM + AGENT_STACK_SIZE +
		     AGENT_FRAME_SIZE,
};

/* The safety net of single calls: where in the process's code they are made, and where in its
 * memory the way back lies. */
struct agent_net {
	uint64_t call, sigreturn;	/* `syscall; ret` and rt_sigreturn(2) trampoline */
	uint64_t place;			/* 0: no net is spread */
	uint32_t size;
	bool was_zero;			/* the place was never used before */
};

/*
 * What the guard has to know about a process to clean up after us. It lies in memory shared with
 * the guard, and each field is written before the process is touched.
 */
struct agent_note {
	pid_t pid;
	uint64_t start_time;		/* 0 while not known; tells the process from a later one */
	struct agent_net net;
	uint64_t address;		/* of an area that may be there; 0: none */
	int stop_signal;		/* of the agent in it */
	bool borrowed;			/* its disposition may be "ignore" instead of .old_action */
	char old_action[32];
	bool twin_due;			/* the process may have a child of ours */
	pid_t twin;			/* that child if it is known */
};

struct agent {
	uint64_t address;	/* of the area in the process; 0 when there is none */
	int stop_signal;	/* the signal of our stop */
	bool puppet;		/* dies with us: needs no way home */
	bool mapped;		/* the area is there */
	bool borrows_signal;	/* stop_signal is one that the program does not ignore … */
	bool disposition_changed;	/* … and does now: its disposition is kept at .old_action */
	char old_action[32];	/* struct kernel_sigaction */
	pid_t frame_owner;	/* thread whose way home lies in the area */
	struct agent_net net;
	void *net_saved;	/* what was where the net is */
	struct agent_note *note;	/* what the guard sees; NULL when there is none */
};

static inline uint64_t agent_batch_address(const struct agent *a)
{
	return a->address + AGENT_CODE_SIZE;
}

static inline uint64_t agent_data_address(const struct agent *a)
{
	return a->address + AGENT_CODE_SIZE + AGENT_RECORDS_SIZE;
}

static inline uint64_t agent_frame_address(const struct agent *a)
{
	return agent_data_address(a) + AGENT_BATCH_ROOM + AGENT_STACK_SIZE;
}

/* Where known code has the two instruction sequences that we need, by file and offset, so that
 * the thousandth process with the same libc costs nothing. */
struct gadget_place {
	uint64_t device, inode, offset;
	int64_t call, sigreturn;	/* offset in the mapping or -1 */
};
struct gadget_cache {
	ARRAY_OF(struct gadget_place) places;
};
void gadget_cache_release(struct gadget_cache *cache);

struct vma_list;

/* What agent_install has to know about the process. */
struct agent_site {
	const struct vma_list *maps;	/* as read while it is held */
	struct gadget_cache *gadgets;
	uint64_t caught;	/* signals with a handler (SigCgt of /proc/pid/status) */
	uint64_t pending;	/* signals pending anywhere in the process */
	uint64_t blocked;	/* signals that some thread blocks */
	bool stopped;		/* by job control */
	struct agent_note *note;	/* for the guard, or NULL */
};

/* An address for an area that is free in these maps; 0 when there is none. Several lists: call
 * with from = the last answer, until no list moves it any more. */
uint64_t agent_find_hole(const struct vma_list *maps, uint64_t from, size_t size);

/* Chooses address and stop signal without touching anything: the guard is told first. */
int agent_plan(struct agent *a, const struct agent_site *site, struct error *err);
/* Puts a planned agent into the process of a held tracee whose state is saved. From whatever
 * moment of this on the thread runs untraced, it recovers by itself. */
int agent_install(struct agent *a, struct tracee *t, const struct agent_site *site,
		  struct error *err);
/* Takes over an area that a puppet was born with. */
void agent_adopt(struct agent *a, uint64_t address, int stop_signal);
/* Writes the code to `area` (our own memory): what a puppet is born with. */
void agent_write_code(void *area);

/* Runs the batch in this held thread of the agent's process. Afterwards the thread is held with
 * the agent's registers; tracee_restore() gives it its own. A failed BATCH_MUST call makes
 * ERROR_TARGET that names the system call and its errno (err->os_error). */
int agent_run(struct agent *a, struct tracee *t, struct batch *b, struct error *err);
/*
 * The same in two parts, for what has to be taken out of the process in the middle (a descriptor
 * that the batch opens and closes): untraced, it runs through. agent_pause() appends a stop and
 * returns it for agent_run_to_pause(), after which the results of all before it are there;
 * agent_run_on() runs the rest. Nothing before the stop is BATCH_MUST.
 */
int agent_pause(const struct agent *a, struct batch *b);
int agent_run_to_pause(struct agent *a, struct tracee *t, struct batch *b, int pause,
		       struct error *err);
int agent_run_on(struct agent *a, struct tracee *t, struct batch *b, struct error *err);
/* Has a puppet's thread use the extended state that is given on demand (AMX tiles), so that
 * tracee_set_xstate() finds room for it. Its process has the permission already. */
int agent_expand_state(struct agent *a, struct tracee *t, struct error *err);
/*
 * A copy of the process as it is now: a child without descriptors of its own, held in a stop
 * before it runs anything, that dies with us. Made through the thread's agent; the thread is to be
 * restored afterwards. The child shares every private page until one of both writes (fork(2));
 * areas marked not to be copied are not there. ERROR_TARGET when the process may not have another
 * child.
 */
int agent_fork_twin(struct agent *a, struct tracee *t, struct tracee *ret_twin, struct error *err);
/* Makes the process wait for such a child that has been killed: it is its zombie. Through a held
 * and saved thread of a process without an agent, which is restored afterwards. */
int agent_reap_twin(struct tracee *t, const struct agent_site *site, pid_t twin, struct error *err);
/* One system call in a held thread of a process without an agent, over the net of agent_install.
 * The thread is restored afterwards. */
int agent_call_once(struct tracee *t, const struct agent_site *site, int64_t *ret,
		    struct error *err, long number, const uint64_t a[6]);
/* Takes the agent out of the process again, through the thread that installed it, and restores
 * that thread. */
int agent_remove(struct agent *a, struct tracee *t, struct error *err);
/* A puppet's last call: unmaps the area from within. The thread is held in a stop where its final
 * registers can be set, and cannot run batches any more. */
int agent_leave(struct agent *a, struct tracee *t, struct error *err);
/* Frees what is kept here; the process is not touched. */
void agent_release(struct agent *a);

/* ---- after a tracer has died ---- */

/* Address of an agent that nobody told us of, found by its shape and code; 0: none. */
uint64_t agent_find_left(const struct vma_list *maps, const struct tracee *t);
/* Whether the note speaks of anything that may still be in the process. */
bool agent_note_pending(const struct agent_note *note);
/* Leads a held thread home that was left in the agent or over the net. *ret_home is false when a
 * handler of the program is just running on the agent's stack: let the thread go and come back. The
 * thread's state is to be saved afterwards. */
int agent_bring_home(const struct agent_note *note, struct tracee *t, bool *ret_home,
		     struct error *err);
/* Takes out of a process what the note speaks of, by calls of the first of its threads, which are
 * all held, at home, saved. `ignored` are the signals that the process ignores. */
int agent_reclaim(struct agent_note *note, struct tracee *threads, size_t count,
		  const struct agent_site *site, uint64_t ignored, struct error *err);

#endif
