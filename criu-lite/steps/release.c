/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/release.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "images/registers.pb-c.h"

extern const struct kind registers_kind;

enum { NS_PER_S = 1000000000 };

static int saved_registers(const struct restore_thread *t, struct arch_regs *ret,
			   const Registers **ret_message, struct error *err)
{
	const Registers *m = (const Registers *)restore_thread_state(t, &registers_kind);

	if (!m || m->general.len != sizeof(ret->user))
		return error_set(err, ERROR_IMAGE, 0, "thread %d has no registers of this processor",
				 t->tid);
	memcpy(&ret->user, m->general.data, sizeof(ret->user));
	*ret_message = m;
	return 0;
}

/*
 * A sleep that goes on keeps the rest of its timeout in the kernel, out of reach. So the puppet
 * starts the same call with that rest and is stopped in it: then the kernel has it again.
 */
static int prime_sleep(struct restore_thread *t, const struct arch_regs *regs, uint64_t rest,
		       struct error *err)
{
	struct agent *agent = &t->task->agent;
	struct timespec request = { rest / NS_PER_S, rest % NS_PER_S };
	struct arch_regs live = t->tracee.saved;
	struct stop stop;
	uint64_t a[6];

	arch_call_arguments(regs, a);
	a[arch_call_number(regs) == SYS_nanosleep ? 0 : 2] = agent_data_address(agent);
	if (tracee_write(&t->tracee, agent_data_address(agent), &request, sizeof(request), err))
		return -1;
	arch_call_regs(&live, agent->address + arch_agent_call_offset(), 0, arch_call_number(regs),
		       a);
	if (tracee_set_regs(&t->tracee, &live, err) || tracee_set_sigmask(&t->tracee, ~0ull, err) ||
	    tracee_to_syscall(&t->tracee, err) || tracee_interrupt(&t->tracee, err) ||
	    tracee_continue(&t->tracee, 0, err) || tracee_wait(&t->tracee, &stop, err) ||
	    tracee_get_regs(&t->tracee, &live, err))
		return -1;
	if (arch_interrupted(&live) != ARCH_RESTART_BLOCK)
		return error_set(err, ERROR_FAILED, 0, "thread %d: its sleep did not start again",
				 t->tid);
	return 0;
}

/* What the thread will find in its registers, in *regs. */
static int settle_call(struct restore_thread *t, struct arch_regs *regs, const Registers *m,
		       struct error *err)
{
	if (arch_interrupted(regs) != ARCH_RESTART_BLOCK)
		return 0;
	if (m->has_remaining_ns &&
	    (arch_call_number(regs) == SYS_nanosleep ||
	     arch_call_number(regs) == SYS_clock_nanosleep))
		return prime_sleep(t, regs, m->remaining_ns, err);
	arch_rewind(regs);
	return 0;
}

static int set_registers(struct restore_thread *t, bool last, struct error *err)
{
	const Registers *m = NULL;
	struct arch_regs regs;

	if (saved_registers(t, &regs, &m, err) || settle_call(t, &regs, m, err))
		return -1;
	if (last && agent_leave(&t->task->agent, &t->tracee, err))
		return -1;
	if (tracee_set_xstate(&t->tracee, m->extended.data, m->extended.len, err) ||
	    tracee_set_sigmask(&t->tracee, m->blocked, err) ||
	    tracee_set_regs(&t->tracee, &regs, err))
		return -1;
	/* These are its own now: letting go must not bring others back. */
	t->tracee.hijacked = false;
	return 0;
}

int release_prepare(struct restore *r, const Tree *tree, struct error *err)
{
	size_t i, k;

	for (i = 0; i < r->tasks.count; i++) {
		struct restore_task *t = r->tasks.items[i];

		if (t->zombie)
			continue;
		for (k = t->threads.count - t->leader_gone; k-- > 0;)
			if (set_registers(t->threads.items[k], k == 0, err))
				return error_wrap(err, "process %d", t->pid);
	}
	return 0;
}

int release_go(struct restore *r, const Tree *tree, struct error *err)
{
	size_t i, k;

	for (i = 0; i < r->tasks.count; i++) {
		struct restore_task *t = r->tasks.items[i];

		if (t->zombie)
			continue;
		for (k = 0; k < t->threads.count - t->leader_gone; k++)
			if (tracee_detach(&t->threads.items[k]->tracee, err))
				return -1;
	}
	return 0;
}
