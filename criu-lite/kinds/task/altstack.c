/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The alternate signal stack of a thread. */
#include <signal.h>
#include <sys/syscall.h>

#include "images/altstack.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind altstack_kind;

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static int altstack_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(stack_t));
	batch_must(b, SYS_sigaltstack, 0, ask->address[0]);
	return 0;
}

static int altstack_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			 struct error *err)
{
	const stack_t *stack = batch_at(b, ask->address[0]);
	Altstack m = ALTSTACK__INIT;

	if (stack->ss_flags & SS_DISABLE)
		return 0;
	m.tid = t->tid;
	m.address = (uintptr_t)stack->ss_sp;
	m.size = stack->ss_size;
	m.flags = stack->ss_flags & SS_AUTODISARM;
	m.has_flags = m.flags != 0;
	return dump_state(t->task->dump, &altstack_kind, &m.base, err);
}

static int altstack_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
			struct error *err)
{
	const Altstack *m = (const Altstack *)message;
	stack_t stack = {
		.ss_sp = (void *)(uintptr_t)m->address,
		.ss_size = m->size,
		.ss_flags = m->flags,
	};

	if (m->flags & ~SS_AUTODISARM)
		return error_set(err, ERROR_IMAGE, 0, "task %u: signal stack with flags %#x",
				 m->tid, m->flags);
	batch_must(b, SYS_sigaltstack, batch_put(b, &stack, sizeof(stack)), 0);
	return 0;
}

static const struct state_ops altstack_state = {
	.ask = altstack_ask,
	.take = altstack_take,
	.put = altstack_put,
};

const struct kind altstack_kind = {
	.name = "altstack",
	.record = 0x81,
	.scope = KIND_THREAD,
	.message = &altstack__descriptor,
	.help = "alternate signal stack",
	.state = &altstack_state,
};
