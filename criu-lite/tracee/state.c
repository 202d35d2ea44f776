/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers, masks, pending signals, filters of a held thread: what ptrace(2) reads and writes. */
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tracee/internal.h"
#include "tracee/tracee.h"

/* More than any XSAVE area (AMX makes it 11008). */
enum { XSTATE_MAX = 16384 };

/* linux/rseq.h: where the thread keeps the pointer to its critical section, and the section. */
enum { RSEQ_CS_OFFSET = 8 };
struct rseq_section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/* linux/ptrace.h since 6.4. */
enum { GET_DISPATCH_CONFIG = 0x4211 };
struct dispatch_config {
	uint64_t mode, selector, start, size;
};

int tracee_get_regs(struct tracee *t, struct arch_regs *regs, struct error *err)
{
	struct iovec iov = { &regs->user, sizeof(regs->user) };

	if (ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &iov))
		return tracee_error(t, errno, err, "cannot read registers");
	if (iov.iov_len != sizeof(regs->user))
		return error_set(err, ERROR_TARGET, 0, "task %d: is a 32-bit program", t->tid);
	return 0;
}

int tracee_set_regs(struct tracee *t, const struct arch_regs *regs, struct error *err)
{
	struct iovec iov = { (void *)&regs->user, sizeof(regs->user) };

	if (ptrace(PTRACE_SETREGSET, t->tid, NT_PRSTATUS, &iov))
		return tracee_error(t, errno, err, "cannot set registers");
	return 0;
}

int tracee_set_xstate(struct tracee *t, const void *data, size_t size, struct error *err)
{
	struct iovec iov = { (void *)data, size };

	if (ptrace(PTRACE_SETREGSET, t->tid, NT_X86_XSTATE, &iov))
		return tracee_error(t, errno, err, "cannot set the extended registers");
	return 0;
}

int tracee_set_sigmask(struct tracee *t, uint64_t mask, struct error *err)
{
	if (ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(mask), &mask))
		return tracee_error(t, errno, err, "cannot set the signal mask");
	return 0;
}

int tracee_event_message(struct tracee *t, unsigned long *ret, struct error *err)
{
	if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, ret))
		return tracee_error(t, errno, err, "cannot read the event");
	return 0;
}

int tracee_siginfo(struct tracee *t, siginfo_t *ret, struct error *err)
{
	if (ptrace(PTRACE_GETSIGINFO, t->tid, 0, ret))
		return tracee_error(t, errno, err, "cannot read the signal");
	return 0;
}

int tracee_pending_signals(struct tracee *t, bool shared, uint64_t from, siginfo_t *ret, int max,
			   struct error *err)
{
	struct __ptrace_peeksiginfo_args args = {
		.off = from,
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = max,
	};
	long count = ptrace(PTRACE_PEEKSIGINFO, t->tid, &args, ret);

	return count < 0 ? tracee_error(t, errno, err, "cannot read pending signals") : count;
}

int tracee_rseq(struct tracee *t, struct tracee_rseq *ret, struct error *err)
{
	struct __ptrace_rseq_configuration conf = { 0 };

	*ret = (struct tracee_rseq){ 0 };
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->tid, sizeof(conf), &conf) < 0) {
		/* Kernels built without rseq have nothing to report. */
		if (errno == EIO || errno == EINVAL)
			return 0;
		return tracee_error(t, errno, err, "cannot read the rseq registration");
	}
	*ret = (struct tracee_rseq){
		.address = conf.rseq_abi_pointer,
		.size = conf.rseq_abi_size,
		.signature = conf.signature,
		.flags = conf.flags,
	};
	return 0;
}

int tracee_dispatch(struct tracee *t, struct tracee_dispatch *ret, struct error *err)
{
	struct dispatch_config conf = { 0 };

	*ret = (struct tracee_dispatch){ 0 };
	if (ptrace((enum __ptrace_request)GET_DISPATCH_CONFIG, t->tid, sizeof(conf), &conf)) {
		if (errno == EIO)
			return 0;
		return tracee_error(t, errno, err, "cannot read its system call dispatch");
	}
	ret->on = conf.mode != PR_SYS_DISPATCH_OFF;
	ret->start = conf.start;
	ret->size = conf.size;
	ret->selector = conf.selector;
	return 0;
}

/* Calls that we make in a thread whose calls are caught would be caught too. One that waits in a
 * call of its own has let it through. */
static int refuse_caught_calls(struct tracee *t, struct error *err)
{
	uint8_t selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	struct tracee_dispatch dispatch;

	if (tracee_dispatch(t, &dispatch, err))
		return -1;
	if (!dispatch.on || (dispatch.selector &&
			     !tracee_peek(t, dispatch.selector, &selector, sizeof(selector)) &&
			     selector == SYSCALL_DISPATCH_FILTER_ALLOW))
		return 0;
	error_set(err, ERROR_BLOCKED, 0,
		  "task %d: it runs code whose system calls are caught "
		  "(PR_SET_SYSCALL_USER_DISPATCH)",
		  t->tid);
	err->os_error = EBUSY;
	return error_hint(err, "try again");
}

int tracee_seccomp_filter(struct tracee *t, unsigned long index, struct sock_filter *insns,
			  uint64_t *flags, struct error *err)
{
	struct __ptrace_seccomp_metadata meta = { .filter_off = index };
	long count = ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, index, insns);

	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0)
		return tracee_error(t, errno, err, "cannot read its seccomp filter");
	if (ptrace(PTRACE_SECCOMP_GET_METADATA, t->tid, sizeof(meta), &meta) < 0)
		return tracee_error(t, errno, err, "cannot read the flags of its seccomp filter");
	*flags = meta.flags;
	return count;
}

/* A preempted restartable sequence is aborted by the kernel on the way back to user mode, but only
 * if the program counter is still in it: the agent's counter is not. So it is aborted here. */
static int abort_rseq(struct tracee *t, struct error *err)
{
	struct rseq_section section;
	struct tracee_rseq rseq;
	uint64_t pointer, pc = arch_pc(&t->saved);

	if (tracee_rseq(t, &rseq, err))
		return -1;
	if (!rseq.address)
		return 0;
	/* An unreadable registration is the program's own bug; the kernel would kill it for
	 * that. */
	if (tracee_peek(t, rseq.address + RSEQ_CS_OFFSET, &pointer, sizeof(pointer)) || !pointer ||
	    tracee_peek(t, pointer, &section, sizeof(section)))
		return 0;
	if (pc - section.start < section.length)
		arch_set_pc(&t->saved, section.abort);
	return 0;
}

/* Calls that the kernel never restarts, or not with a timeout set on the socket, although nothing
 * happened but our stop: they return EINTR. */
static bool never_restarts(long number)
{
	switch (number) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_read:
	case SYS_readv:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_connect:
	case SYS_accept:
	case SYS_accept4:
		return true;
	}
	return false;
}

/* A signal of the program that is or becomes pending still ends the call: the kernel looks for one
 * before it starts the call again. */
static void undo_eintr(struct tracee *t)
{
	long number = arch_call_number(&t->saved);

	if (arch_interrupted(&t->saved) == ARCH_EINTR && never_restarts(number))
		arch_restart(&t->saved, number);
}

static int save_xstate(struct tracee *t, struct error *err)
{
	char area[XSTATE_MAX];
	struct iovec iov = { area, sizeof(area) };
	void *copy;

	if (ptrace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &iov))
		return tracee_error(t, errno, err, "cannot read the extended registers");
	copy = realloc(t->xstate, iov.iov_len);
	if (!copy)
		return error_set(err, ERROR_FAILED, errno, "task %d: registers", t->tid);
	t->xstate = memcpy(copy, area, iov.iov_len);
	t->xstate_size = iov.iov_len;
	return 0;
}

int tracee_save(struct tracee *t, struct error *err)
{
	struct arch_regs found;

	if (tracee_get_regs(t, &found, err) || save_xstate(t, err))
		return -1;
	if (ptrace(PTRACE_GETSIGMASK, t->tid, sizeof(t->sigmask), &t->sigmask))
		return tracee_error(t, errno, err, "cannot read the signal mask");
	t->saved = found;
	t->call = 0;
	if (refuse_caught_calls(t, err) || abort_rseq(t, err))
		return -1;
	undo_eintr(t);
	/* The corrected registers are what the program shall go on with, whatever happens to us. */
	if (memcmp(&found, &t->saved, sizeof(found)))
		return tracee_set_regs(t, &t->saved, err);
	return 0;
}

size_t tracee_frame(const struct tracee *t, void *frame, uint64_t address)
{
	struct arch_regs home = t->saved;

	/* A return from a signal frame makes the kernel forget what restart_syscall(2) needs. */
	if (t->call)
		arch_restart(&home, t->call);
	return arch_frame_build(frame, address, &home, t->xstate, t->xstate_size, t->sigmask);
}

int tracee_restore(struct tracee *t, struct error *err)
{
	if (!t->hijacked)
		return 0;
	/* The mask first: until the registers are back, the hijacked ones lead home by a frame that
	 * sets the mask itself; the other way round a blocked program could run off. */
	if (tracee_set_sigmask(t, t->sigmask, err) || tracee_set_regs(t, &t->saved, err))
		return -1;
	t->hijacked = false;
	return 0;
}
