/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The permission to use large extended state (the tiles of AMX), which a process asks for once. */
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "images/state_permission.pb-c.h"
#include "kernel-compat/arch/cpu.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind state_permission_kind;

/* asm/prctl.h, Linux 5.16 */
enum { GET_STATE_PERMISSION = 0x1022, REQUEST_STATE_PERMISSION = 0x1023 };

static int state_permission_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
				struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(uint64_t));
	ask->record = batch_call(b, SYS_arch_prctl, GET_STATE_PERMISSION, ask->address[0]);
	return 0;
}

static int state_permission_take(struct dump_thread *t, const struct batch *b,
				 const struct ask *ask, struct error *err)
{
	StatePermission m = STATE_PERMISSION__INIT;

	/* An older kernel knows no such permission. */
	if (batch_result(b, ask->record))
		return 0;
	memcpy(&m.components, batch_at(b, ask->address[0]), sizeof(m.components));
	m.components &= ARCH_XSTATE_ON_DEMAND;
	if (!m.components)
		return 0;
	m.pid = t->task->pid;
	return dump_state(t->task->dump, &state_permission_kind, &m.base, err);
}

static int state_permission_put(struct restore_thread *t, const ProtobufCMessage *message,
				struct batch *b, struct error *err)
{
	const StatePermission *m = (const StatePermission *)message;
	int component;

	for (component = 0; component < ARCH_CPU_COMPONENTS; component++)
		if (m->components & ARCH_XSTATE_ON_DEMAND & 1ull << component)
			batch_must(b, SYS_arch_prctl, REQUEST_STATE_PERMISSION, component);
	return 0;
}

static const struct state_ops state_permission_state = {
	.ask = state_permission_ask,
	.take = state_permission_take,
	.put = state_permission_put,
};

const struct kind state_permission_kind = {
	.name = "state-permission",
	.record = 0x4e,
	.scope = KIND_TASK,
	.message = &state_permission__descriptor,
	.help = "permission to use extended state that is given on demand (AMX tiles)",
	.state = &state_permission_state,
};
