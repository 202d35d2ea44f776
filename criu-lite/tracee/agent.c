/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracee/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/log.h"
#include "kernel-compat/syscall_names.h"
#include "tracee/internal.h"

/* How our stop signal is told from the same signal sent by somebody else: it claims to come from
 * this process and user. To itself a thread may send that, and a signal with the code of kill(2) is
 * sent although no more may be queued. */
enum { STOP_PID = 0x63726975, STOP_UID = 0x6c697465 };

/* The area's header, read by the agent's code. */
struct batch_header {
	uint32_t count;		/* records to walk */
	uint32_t resume;	/* record to go on with after a failed BATCH_MUST */
	uint32_t failed;	/* that failed record, or NOTHING_FAILED */
	uint32_t unused;
	uint64_t home;		/* address of the way home */
	uint32_t signals_end;	/* arch_signals_end() */
	char room[36];		/* for the agent */
};

enum {
	NOTHING_FAILED = 0xffffffff,
	STOP_RECORD = 2,	/* of those that end a batch, the one that makes it stop */
	FRAME_HEAD_MAX = 2048,	/* what a frame has beside the extended registers, and more */
};

static const uint64_t all_signals = ~0ull;

void agent_write_code(void *area)
{
	memcpy(area, arch_agent_begin, arch_agent_end - arch_agent_begin);
}

void agent_adopt(struct agent *a, uint64_t address, int stop_signal)
{
	*a = (struct agent){ .address = address, .stop_signal = stop_signal, .puppet = true };
}

int agent_pause(const struct agent *a, struct batch *b)
{
	siginfo_t info = {
		.si_signo = a->stop_signal,
		.si_code = SI_USER,
		.si_pid = STOP_PID,
		.si_uid = STOP_UID,
	};
	uint64_t address = batch_put(b, &info, sizeof(info));
	int process = batch_call(b, SYS_getpid);
	int thread = batch_call(b, SYS_gettid);
	int stop = batch_call(b, SYS_rt_tgsigqueueinfo, 0, 0, a->stop_signal, address);

	batch_from(b, stop, 0, process);
	batch_from(b, stop, 1, thread);
	return process;
}

/* Appends what ends a batch. What stands behind the stop runs only when nobody traces it. Returns
 * the index of the first of these records. */
static int append_stop(const struct agent *a, struct batch *b)
{
	int process = agent_pause(a, b);

	if (a->disposition_changed) {
		uint64_t old = batch_put(b, a->old_action, sizeof(a->old_action));

		batch_call(b, SYS_rt_sigaction, a->stop_signal, old, 0, sizeof(uint64_t));
	}
	return process;
}

/* Carries the batch over, with the thread's way home if another's lies there. */
static int write_batch(struct agent *a, struct tracee *t, struct batch *b, int resume,
		       struct error *err)
{
	struct batch_header header = {
		.count = b->records.count,
		.resume = resume,
		.failed = NOTHING_FAILED,
		.home = agent_frame_address(a),
		.signals_end = arch_signals_end(&t->saved),
	};
	char frame[AGENT_FRAME_SIZE];
	struct iovec local[4] = {
		{ &header, sizeof(header) },
		{ b->records.items, b->records.count * sizeof(struct batch_record) },
		{ b->data, b->data_size },
	};
	struct iovec remote[4] = {
		{ (void *)agent_batch_address(a), sizeof(header) },
		{ (void *)(agent_batch_address(a) + AGENT_HEADER_SIZE), local[1].iov_len },
		{ (void *)agent_data_address(a), b->data_size },
	};
	size_t parts = 3, total = sizeof(header) + local[1].iov_len + b->data_size;

	if (!a->puppet && a->frame_owner != t->tid) {
		size_t size;

		if (t->xstate_size > sizeof(frame) - FRAME_HEAD_MAX)
			return error_set(err, ERROR_TARGET, 0,
					 "task %d: extended registers of %zu bytes", t->tid,
					 t->xstate_size);
		size = tracee_frame(t, frame, agent_frame_address(a));
		local[3] = (struct iovec){ frame, size };
		remote[3] = (struct iovec){ (void *)agent_frame_address(a), size };
		total += size;
		parts = 4;
	}
	if (process_vm_writev(t->tid, local, parts, remote, parts, 0) != (ssize_t)total)
		return tracee_error(t, errno, err, "cannot write to the agent");
	a->frame_owner = t->tid;
	return 0;
}

/* Brings the results back. */
static int read_batch(struct agent *a, struct tracee *t, struct batch *b, uint32_t *ret_failed,
		      struct error *err)
{
	struct batch_header header;
	struct iovec local[3] = {
		{ &header, sizeof(header) },
		{ b->records.items, b->records.count * sizeof(struct batch_record) },
		{ b->data, b->data_size },
	};
	struct iovec remote[3] = {
		{ (void *)agent_batch_address(a), sizeof(header) },
		{ (void *)(agent_batch_address(a) + AGENT_HEADER_SIZE), local[1].iov_len },
		{ (void *)agent_data_address(a), b->data_size },
	};
	ssize_t total = sizeof(header) + local[1].iov_len + b->data_size;

	if (process_vm_readv(t->tid, local, 3, remote, 3, 0) != total)
		return tracee_error(t, errno, err, "cannot read from the agent");
	*ret_failed = header.failed;
	return 0;
}

/* A signal for which there was no room has lost what came with it. Then it is ours if the thread
 * has just sent it. */
static int is_our_stop(const struct agent *a, struct tracee *t, const siginfo_t *info,
		       uint32_t stop_record, bool *ret, struct error *err)
{
	struct arch_regs regs;

	*ret = info->si_signo == a->stop_signal && info->si_code == SI_USER &&
	       info->si_pid == STOP_PID && info->si_uid == STOP_UID;
	if (*ret || info->si_signo != a->stop_signal || info->si_code != SI_USER || info->si_pid)
		return 0;
	if (tracee_get_regs(t, &regs, err))
		return -1;
	*ret = arch_agent_has_called(&regs, a->address, stop_record);
	return 0;
}

/* Waits for our own stop; what else comes by is put off. */
static int wait_for_stop(const struct agent *a, struct tracee *t, uint32_t stop_record,
			 struct error *err)
{
	struct stop stop;

	for (;;) {
		if (tracee_wait(t, &stop, err))
			return -1;
		if (stop.kind == STOP_SIGNAL) {
			siginfo_t info;
			bool ours;

			if (tracee_siginfo(t, &info, err) ||
			    is_our_stop(a, t, &info, stop_record, &ours, err))
				return -1;
			if (ours)
				return 0;
			if (stop.signal == SIGSEGV || stop.signal == SIGBUS ||
			    stop.signal == SIGILL)
				return error_set(err, ERROR_TARGET, 0,
						 "task %d: the agent was hit by signal %d at %p",
						 t->tid, stop.signal, info.si_addr);
			t->requeue |= 1ull << (stop.signal - 1);
		}
		if (stop.kind == STOP_EVENT && tracee_event_message(t, &t->event_message, err))
			return -1;
		if (tracee_continue(t, 0, err))
			return -1;
	}
}

/* Registers with which the thread, if it ran on by itself, would only give itself back its own. */
static int lead_home(const struct agent *a, struct tracee *t, struct error *err)
{
	struct arch_regs regs = t->saved;

	arch_home_regs(&regs, a->address, agent_batch_address(a), agent_frame_address(a));
	if (tracee_set_regs(t, &regs, err))
		return -1;
	t->hijacked = true;
	return 0;
}

/* Signals are blocked while the way leads home, and only then does it lead through the batch: no
 * handler of the program meets the batch, whenever we are killed. A puppet has no way home. */
static int prepare(struct agent *a, struct tracee *t, struct error *err)
{
	if (t->hijacked && !a->puppet)
		return 0;
	if (!a->puppet && lead_home(a, t, err))
		return -1;
	t->hijacked = true;
	return tracee_set_sigmask(t, all_signals & ~(1ull << (a->stop_signal - 1)), err);
}

static int start(struct agent *a, struct tracee *t, size_t entry, struct error *err)
{
	struct arch_regs regs = t->saved;

	arch_agent_regs(&regs, a->address + entry, agent_batch_address(a), agent_frame_address(a));
	if (prepare(a, t, err) || tracee_set_regs(t, &regs, err))
		return -1;
	return tracee_continue(t, 0, err);
}

int agent_leave(struct agent *a, struct tracee *t, struct error *err)
{
	struct arch_regs regs = t->saved;
	const uint64_t range[6] = { a->address, AGENT_SIZE };

	arch_call_regs(&regs, a->address + arch_agent_call_offset(), 0, SYS_munmap, range);
	if (tracee_set_regs(t, &regs, err) || tracee_to_syscall(t, err) ||
	    tracee_to_syscall(t, err) || tracee_get_regs(t, &regs, err))
		return -1;
	if (arch_call_result(&regs))
		return error_set(err, ERROR_TARGET, -arch_call_result(&regs),
				 "task %d: cannot unmap the agent", t->tid);
	a->address = 0;
	return 0;
}

/* Waits for the stop whose records begin with this one, and says what of the batch has failed. */
static int come_to_stop(struct agent *a, struct tracee *t, struct batch *b, int stop, int count,
			struct error *err)
{
	uint32_t failed = NOTHING_FAILED;

	if (wait_for_stop(a, t, stop + STOP_RECORD, err) || read_batch(a, t, b, &failed, err))
		return -1;
	b->records.count = count;
	if (failed == NOTHING_FAILED)
		return 0;
	if (failed >= (uint32_t)count)
		return error_set(err, ERROR_TARGET, 0, "task %d: a batch was disturbed", t->tid);
	return error_set(err, ERROR_TARGET, -b->records.items[failed].result, "task %d: %s failed",
			 t->tid, syscall_name(b->records.items[failed].number));
}

/* Up to its end, or to the pause that begins with that record. */
static int run_from(struct agent *a, struct tracee *t, size_t entry, struct batch *b, int pause,
		    struct error *err)
{
	int count = b->records.count, resume = append_stop(a, b);

	if (b->overflow)
		return error_set(err, ERROR_FAILED, 0, "task %d: a batch of %d calls is too large",
				 t->tid, count);
	/* After an earlier batch it stands in the middle of what is written now. */
	if (t->hijacked && !a->puppet && lead_home(a, t, err))
		return -1;
	if (write_batch(a, t, b, resume, err) || start(a, t, entry, err))
		return -1;
	return come_to_stop(a, t, b, pause < 0 ? resume : pause, count, err);
}

int agent_run(struct agent *a, struct tracee *t, struct batch *b, struct error *err)
{
	return run_from(a, t, 0, b, -1, err);
}

int agent_run_to_pause(struct agent *a, struct tracee *t, struct batch *b, int pause,
		       struct error *err)
{
	return run_from(a, t, 0, b, pause, err);
}

/* The batch lies in the process with the records that end it, behind its own. */
int agent_run_on(struct agent *a, struct tracee *t, struct batch *b, struct error *err)
{
	int count = b->records.count;

	if (tracee_continue(t, 0, err))
		return -1;
	return come_to_stop(a, t, b, count, count, err);
}

int agent_expand_state(struct agent *a, struct tracee *t, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, a);
	return run_from(a, t, arch_agent_expand_offset(), &b, -1, err);
}

void agent_release(struct agent *a)
{
	free(a->net_saved);
	*a = (struct agent){ 0 };
}
