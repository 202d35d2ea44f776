/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_RESTART_BLOCK_H
#define CL_KERNEL_RESTART_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What the kernel keeps of a call that was interrupted and goes on with the rest of its timeout
 * (restart_syscall(2), struct restart_block of the kernel). No call tells it, so a BPF program
 * (bpf(2), iterator over tasks) copies it from the task: exact, and the task notices nothing. Needs
 * the kernel's BTF, the iterator's filter by thread (Linux 6.1), and CAP_BPF with CAP_PERFMON or
 * CAP_SYS_ADMIN; kernel lockdown in confidentiality mode forbids it.
 */

enum restart_call {
	RESTART_OTHER,		/* none of those below */
	RESTART_SLEEP,		/* nanosleep(2) or clock_nanosleep(2), relative */
	RESTART_POLL,		/* poll(2) */
	RESTART_FUTEX,		/* futex(2), FUTEX_WAIT or FUTEX_WAIT_BITSET */
};

struct restart_block {
	enum restart_call call;
	bool timed;
	int64_t remaining_ns; /* of a timed one, at the moment of reading; negative when it is over.
				 * A FUTEX_WAIT_BITSET that waits by CLOCK_REALTIME has no use of
				 * it. */
	int clock;		/* RESTART_SLEEP: what its end is measured by */
	uint64_t address;	/* where a sleep's rest goes (or 0), the pollfds, the futex word */
	uint32_t value;		/* number of pollfds, value of the futex */
};

/* The loaded program; zero before the first use. */
struct restart_reader {
	bool tried;
	int error;		/* why there is none */
	int program;
};

/* Loads the program, about a millisecond; once only, afterwards it repeats its answer. Returns 0 or
 * an errno value. */
int restart_reader_open(struct restart_reader *r);
/* Reads the block of a thread that is stopped in an interrupted call. Returns 0 or an errno
 * value. */
int restart_reader_read(struct restart_reader *r, pid_t tid, struct restart_block *ret);
void restart_reader_close(struct restart_reader *r);

#endif
