/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process does on each signal. */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "images/signal_handlers.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind signal_handlers_kind;

enum { SIGNALS = 64 };

/* struct sigaction of the kernel. */
struct action {
	uint64_t handler, flags, restorer, mask;
};

static bool has_action(int signal)
{
	return signal >= 1 && signal <= SIGNALS && signal != SIGKILL && signal != SIGSTOP;
}

static int signal_handlers_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			       struct error *err)
{
	int signal;

	ask->address[0] = batch_space(b, SIGNALS * sizeof(struct action));
	for (signal = 1; signal <= SIGNALS; signal++)
		if (has_action(signal))
			batch_must(b, SYS_rt_sigaction, signal, 0,
				   ask->address[0] + (signal - 1) * sizeof(struct action),
				   sizeof(uint64_t));
	return 0;
}

static int signal_handlers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
				struct error *err)
{
	const struct agent *agent = &t->task->agent;
	struct action found[SIGNALS];
	SignalAction actions[SIGNALS], *list[SIGNALS];
	SignalHandlers m = SIGNAL_HANDLERS__INIT;
	int i;

	memcpy(found, batch_at(b, ask->address[0]), sizeof(found));
	/* The agent borrows one signal. */
	if (agent->disposition_changed)
		memcpy(&found[agent->stop_signal - 1], agent->old_action, sizeof(found[0]));
	m.pid = t->task->pid;
	m.actions = list;
	for (i = 0; i < SIGNALS; i++) {
		const struct action *from = &found[i];
		SignalAction *to = &actions[m.n_actions];

		if (!has_action(i + 1) || (!from->handler && !from->flags && !from->mask))
			continue;
		*to = (SignalAction)SIGNAL_ACTION__INIT;
		to->signal = i + 1;
		to->handler = from->handler;
		to->flags = from->flags;
		to->has_restorer = from->restorer != 0;
		to->restorer = from->restorer;
		to->has_blocked = from->mask != 0;
		to->blocked = from->mask;
		list[m.n_actions++] = to;
	}
	return dump_state(t->task->dump, &signal_handlers_kind, &m.base, err);
}

static int signal_handlers_put(struct restore_thread *t, const ProtobufCMessage *message,
			       struct batch *b, struct error *err)
{
	const SignalHandlers *m = (const SignalHandlers *)message;
	struct action actions[SIGNALS] = { 0 };
	uint64_t address;
	int signal;
	size_t i;

	for (i = 0; i < m->n_actions; i++) {
		const SignalAction *from = m->actions[i];

		if (from->signal > SIGNALS || !has_action(from->signal))
			return error_set(err, ERROR_IMAGE, 0, "process %u: an action for signal %u",
					 m->pid, from->signal);
		actions[from->signal - 1] = (struct action){
			from->handler, from->flags, from->restorer, from->blocked
		};
	}
	/* All of them: a puppet is born with the ignored signals of whoever runs the restore. */
	address = batch_put(b, actions, sizeof(actions));
	for (signal = 1; signal <= SIGNALS; signal++)
		if (has_action(signal))
			batch_must(b, SYS_rt_sigaction, signal,
				   address + (signal - 1) * sizeof(struct action), 0,
				   sizeof(uint64_t));
	return 0;
}

static const struct state_ops signal_handlers_state = {
	.ask = signal_handlers_ask,
	.take = signal_handlers_take,
	.put = signal_handlers_put,
};

const struct kind signal_handlers_kind = {
	.name = "signal-handlers",
	.record = 0x40,
	.scope = KIND_TASK,
	.message = &signal_handlers__descriptor,
	.help = "signal actions with handler, flags, restorer and mask",
	.state = &signal_handlers_state,
};
