/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/release.h"

#include <signal.h>
#include <string.h>

#include "kinds/task/interrupted.h"

extern const struct kind registers_kind;

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

static int set_extended(struct restore_thread *t, const Registers *m, struct error *err)
{
	const struct restore *r = t->task->restore;
	char state[ARCH_XSTATE_MAX];

	if (r->cpu.state_size > sizeof(state) ||
	    arch_xstate_convert(&r->saved_cpu, m->extended.data, m->extended.len, &r->cpu, state))
		return error_set(err, ERROR_IMAGE, 0,
				 "thread %d has extended registers that do not fit the processor",
				 t->tid);
	return tracee_set_xstate(&t->tracee, state, r->cpu.state_size, err);
}

static int set_registers(struct restore_thread *t, bool last, struct error *err)
{
	const Registers *m = NULL;
	struct arch_regs regs;

	if (saved_registers(t, &regs, &m, err) ||
	    (arch_xstate_on_demand(m->extended.data, m->extended.len) &&
	     agent_expand_state(&t->task->agent, &t->tracee, err)) ||
	    (m->wait && interrupted_settle(t, m->wait, &regs, err)))
		return -1;
	if (last && agent_leave(&t->task->agent, &t->tracee, err))
		return -1;
	if (set_extended(t, m, err) || tracee_set_sigmask(&t->tracee, m->blocked, err) ||
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

/* Those that ended before they could be let go. Until we have taken note, nobody else learns of an
 * end; that of a first thread shows when there is no other left. */
static void bury(struct restore *r)
{
	size_t i, k;

	for (i = r->tasks.count; i-- > 0;) {
		struct restore_task *t = r->tasks.items[i];

		for (k = t->threads.count - t->leader_gone; k-- > 0;)
			if (t->threads.items[k]->tracee.held)
				tracee_kill(&t->threads.items[k]->tracee);
	}
}

/* As soon as a part of it runs, the program may well end the rest of itself. */
int release_go(struct restore *r, const Tree *tree, struct error *err)
{
	bool runs = false;
	size_t i, k;

	for (i = 0; i < r->tasks.count; i++) {
		struct restore_task *t = r->tasks.items[i];

		if (t->zombie)
			continue;
		for (k = 0; k < t->threads.count - t->leader_gone; k++) {
			struct error ended = ERROR_INIT;

			if (tracee_detach(&t->threads.items[k]->tracee, &ended)) {
				if (!runs || ended.kind != ERROR_DIED) {
					*err = ended;
					return -1;
				}
				error_clear(&ended);
			}
			runs = true;
		}
	}
	bury(r);
	return 0;
}
