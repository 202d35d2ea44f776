/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers, extended state and signal mask of a thread, with the system call that our stop has
 * interrupted. Restore sets them at the very end (steps/release.c): nothing may run in the thread
 * afterwards but itself.
 */
#include "kinds/task/interrupted.h"

extern const struct kind registers_kind;

static int registers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			  struct error *err)
{
	struct tracee *held = &t->tracee;
	struct arch_regs regs = held->saved;
	Registers m = REGISTERS__INIT;
	TimedWait wait;

	m.tid = t->tid;
	if (interrupted_take(t, &regs, &wait))
		m.wait = &wait;
	m.general.data = (void *)&regs.user;
	m.general.len = sizeof(regs.user);
	m.extended.data = held->xstate;
	m.extended.len = held->xstate_size;
	m.blocked = held->sigmask;
	return dump_state(t->task->dump, &registers_kind, &m.base, err);
}

static const struct state_ops registers_state = { .take = registers_take };

const struct kind registers_kind = {
	.name = "registers",
	.record = 0xb1,
	.scope = KIND_THREAD,
	.message = &registers__descriptor,
	.help = "processor registers with the full extended state, signal mask, interrupted calls",
	.state = &registers_state,
};
