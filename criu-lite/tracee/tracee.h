/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_TRACEE_H
#define CL_TRACEE_TRACEE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "kernel-compat/arch/arch.h"

/*
 * Holding one foreign thread: ptrace(2) PTRACE_SEIZE and what follows from it. All calls for one
 * tracee come from the thread that seized it.
 *
 * A tracee that is held has its registers as found in .saved; running batches in it changes the
 * live ones only. tracee_restore() brings the found state back and tracee_detach() lets it go.
 */

/* What a wait status says, decoded once (tracee/wait.c). */
enum stop_kind {
	STOP_GONE,		/* exited or killed: .code is the wait status */
	STOP_SIGNAL,		/* signal-delivery stop, .signal */
	STOP_EVENT_STOP,	/* PTRACE_INTERRUPT took effect, or a new auto-seized task */
	STOP_GROUP,		/* stopped by job control, .signal */
	STOP_SYSCALL,		/* syscall entry or exit (TRACESYSGOOD) */
	STOP_EVENT,		/* fork, vfork, clone, exit …: .event is the PTRACE_EVENT_ number */
};

struct stop {
	enum stop_kind kind;
	int signal;
	int event;
	int code;
};

struct tracee {
	pid_t tid, tgid;		/* in our pid namespace */
	bool held;			/* in a ptrace stop and ours to command */
	bool group_stopped;		/* was stopped by job control when we came … */
	int group_signal;		/* … by this signal */
	bool hijacked;			/* live registers are not the found ones */
	bool seccomp_off;		/* seized with TRACEE_SECCOMP_OFF */
	struct arch_regs saved;		/* general registers as found (EINTR of our stop undone) */
	long call;	/* what to make anew in place of restart_syscall(2) in .saved; 0: nothing */
	void *xstate; /* extended state (XSAVE layout) as found; owned; NULL until read */
	size_t xstate_size;
	uint64_t sigmask;		/* blocked signals as found */
	uint64_t requeue;		/* signals that reached us and belong to the program */
	unsigned long event_message;	/* of the last event: the pid of a child just born */
};

/* tracee_seize() options. */
enum {
	TRACEE_PUPPET = 1,	/* dies with us (EXITKILL), its children are ours at birth */
	TRACEE_SECCOMP_OFF = 2,	/* its seccomp filters do not see our calls */
};

/* The name (PR_SET_NAME) by which a process that repairs is known. */
#define TRACEE_GUARD_NAME "criu-lite-guard"

/* Takes hold without stopping it. A thread that is gone makes ERROR_DIED; one that another tracer
 * holds makes ERROR_TARGET and names the tracer, with err->os_error EBUSY if that is a guard. */
int tracee_seize(struct tracee *t, pid_t tid, pid_t tgid, int options, struct error *err);
/* Asks a seized thread to stop; tracee_wait_stopped() collects the stop. Two passes over all
 * threads cost one scheduler round instead of one for each. */
int tracee_interrupt(struct tracee *t, struct error *err);
/* Waits at most timeout_ms for the stop asked for. Times out (ERROR_TARGET, err->os_error
 * ETIMEDOUT) on a task in uninterruptible sleep or in vfork; it may be waited for again. */
int tracee_wait_stopped(struct tracee *t, int timeout_ms, struct error *err);
/* Waits for the next stop of exactly this thread, whatever it is. */
int tracee_wait(struct tracee *t, struct stop *ret, struct error *err);
/* Reads registers, extended state and signal mask into the tracee; calls that would otherwise
 * return EINTR that the program would not have seen start again. ERROR_BLOCKED, with
 * err->os_error EBUSY, in a thread whose system calls are being caught (tracee_dispatch), where
 * ours would be too. */
int tracee_save(struct tracee *t, struct error *err);
/* Puts back mask and registers as saved; a no-op unless hijacked. */
int tracee_restore(struct tracee *t, struct error *err);
/* Whether this held tracee's children are ours at birth, as puppets' are; dies_with_us adds or
 * takes back EXITKILL. The other options of tracee_seize() are kept. */
int tracee_follow(struct tracee *t, bool children, bool dies_with_us, struct error *err);
/* Lets go; a stopped task stays stopped, requeued signals are sent again. */
int tracee_detach(struct tracee *t, struct error *err);
/* Ends the task by SIGKILL and reaps it if it is ours. */
void tracee_kill(struct tracee *t);
void tracee_release(struct tracee *t);

/* Commands for a held tracee. */
int tracee_set_regs(struct tracee *t, const struct arch_regs *regs, struct error *err);
int tracee_get_regs(struct tracee *t, struct arch_regs *regs, struct error *err);
int tracee_set_xstate(struct tracee *t, const void *data, size_t size, struct error *err);
int tracee_set_sigmask(struct tracee *t, uint64_t mask, struct error *err);
int tracee_continue(struct tracee *t, int signal, struct error *err);
/* Runs to the next syscall entry or exit. */
int tracee_to_syscall(struct tracee *t, struct error *err);
int tracee_event_message(struct tracee *t, unsigned long *ret, struct error *err);
int tracee_siginfo(struct tracee *t, siginfo_t *ret, struct error *err);
/* PTRACE_PEEKSIGINFO: pending signals of the thread, or those of the process when shared. Returns
 * the number read from position `from`, at most max, or -1. */
int tracee_pending_signals(struct tracee *t, bool shared, uint64_t from, siginfo_t *ret, int max,
			   struct error *err);
/* PTRACE_GET_RSEQ_CONFIGURATION; address 0 when the thread has none. */
struct tracee_rseq {
	uint64_t address;
	uint32_t size, signature, flags;
};
int tracee_rseq(struct tracee *t, struct tracee_rseq *ret, struct error *err);
/* PTRACE_SECCOMP_GET_FILTER: filter number `index` (0 the oldest) into insns (sock_filter array,
 * up to 4096); returns the count, 0 past the last, -1 on error. Flags from
 * PTRACE_SECCOMP_GET_METADATA. */
struct sock_filter;
int tracee_seccomp_filter(struct tracee *t, unsigned long index, struct sock_filter *insns,
			  uint64_t *flags, struct error *err);

/* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4): system calls from outside of a range of code
 * become SIGSYS while the byte at `selector` says so. `on` is false before that Linux. */
struct tracee_dispatch {
	bool on;
	uint64_t start, size, selector;
};
int tracee_dispatch(struct tracee *t, struct tracee_dispatch *ret, struct error *err);

/* Memory of the tracee's process (process_vm_readv/writev). */
int tracee_read(const struct tracee *t, uint64_t address, void *data, size_t size,
		struct error *err);
int tracee_write(const struct tracee *t, uint64_t address, const void *data, size_t size,
		 struct error *err);
/* Writes through /proc/pid/mem: also read-only and executable private mappings. */
int tracee_poke(const struct tracee *t, uint64_t address, const void *data, size_t size,
		struct error *err);

#endif
