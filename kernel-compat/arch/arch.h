/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_ARCH_H
#define CL_ARCH_H

/*
 * Everything that depends on the processor. One directory for each architecture implements it;
 * x86_64 is there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct arch_regs {
	struct user_regs_struct user;	/* NT_PRSTATUS layout of a 64-bit task */
};

/* The image's name of this architecture. */
#define ARCH_NAME "x86_64"

/* First address that user space cannot map. */
uint64_t arch_task_size(void);

uint64_t arch_pc(const struct arch_regs *regs);
void arch_set_pc(struct arch_regs *regs, uint64_t pc);
uint64_t arch_sp(const struct arch_regs *regs);
/* Registers that start the agent at `code` with its batch at `batch`. The agent itself needs no
 * stack; a handler of the program would find one below `stack`. */
void arch_agent_regs(struct arch_regs *regs, uint64_t code, uint64_t batch, uint64_t stack);
/* The same where nothing but the way home is left. */
void arch_home_regs(struct arch_regs *regs, uint64_t code, uint64_t batch, uint64_t stack);
/* Whether registers are those of an agent at `code` that has just made the call of this record. */
bool arch_agent_has_called(const struct arch_regs *regs, uint64_t code, uint32_t record);
/* Registers that make one call at `gadget` and return through the words at `stack`. */
void arch_call_regs(struct arch_regs *regs, uint64_t gadget, uint64_t stack, long number,
		    const uint64_t a[6]);
int64_t arch_call_result(const struct arch_regs *regs);

/* Interrupted system calls (KERNEL: -ERESTART* in the result register, number kept). */
enum arch_interrupted {
	ARCH_NOT_INTERRUPTED,
	ARCH_RESTARTS,		/* the kernel restarts it by itself */
	ARCH_RESTART_BLOCK,	/* it goes on with the rest of its timeout, kept in the task */
	ARCH_EINTR,		/* would return EINTR */
};
enum arch_interrupted arch_interrupted(const struct arch_regs *regs);
/* For the header of a batch: whether the way home has to look for signals that end the call. */
uint32_t arch_signals_end(const struct arch_regs *regs);
long arch_call_number(const struct arch_regs *regs);
void arch_call_arguments(const struct arch_regs *regs, uint64_t a[6]);
/* Makes the interrupted call, which is `number`, start anew when the task runs on; a signal that
 * has a handler comes first and ends it with EINTR. That is for the registers of a task in a ptrace
 * stop: the kernel acts on it when the task leaves that stop. */
void arch_restart(struct arch_regs *regs, long number);
/* The same by the program counter alone, for registers that do not pass through such a stop: after
 * a signal handler the call starts anew too. */
void arch_rewind(struct arch_regs *regs);
/* The call is over with this result. */
void arch_end_call(struct arch_regs *regs, int64_t result);

/* The agent's code. */
extern const unsigned char arch_agent_begin[], arch_agent_end[];
/* Where in it the system call instruction is. */
size_t arch_agent_call_offset(void);
/* Where to start it so that the thread first gets room for extended state that is given on demand
 * (arch/cpu.h). The process has the permission, and the processor the state. */
size_t arch_agent_expand_offset(void);

/* A frame for rt_sigreturn(2) that brings back registers, extended state and mask; interrupted
 * calls are rewound in it. `address` is where it will lie in the foreign process. Returns the bytes
 * used; with frame NULL the bytes needed. */
size_t arch_frame_build(void *frame, uint64_t address, const struct arch_regs *regs,
			const void *xstate, size_t xstate_size, uint64_t sigmask);
/* Bytes below the stack pointer that belong to the running function. */
#define ARCH_RED_ZONE 128u

/* Searches code for gadgets; return the offset or -1. None is longer than this. */
enum { ARCH_GADGET_SIZE = 16 };
ssize_t arch_find_call(const void *code, size_t size);
ssize_t arch_find_sigreturn(const void *code, size_t size);

#endif
