/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals that wait for a process, blocked or not yet delivered. */
#include "images/pending_signals_shared.pb-c.h"
#include "kinds/task/siginfo.h"

extern const struct kind pending_signals_shared_kind;

static int pending_signals_shared_take(struct dump_thread *t, const struct batch *b,
		const struct ask *ask, struct error *err)
{
	_cleanup_siginfo_list_ struct siginfo_list list = { 0 };
	PendingSignalsShared m = PENDING_SIGNALS_SHARED__INIT;

	if (siginfo_list_read(&list, &t->tracee, true, err) || siginfo_fields(&list, err))
		return -1;
	if (!list.fields.count)
		return 0;
	m.pid = t->task->pid;
	m.signals = list.fields.items;
	m.n_signals = list.fields.count;
	return dump_state(t->task->dump, &pending_signals_shared_kind, &m.base, err);
}

static int pending_signals_shared_put(struct restore_thread *t, const ProtobufCMessage *message,
		struct batch *b, struct error *err)
{
	const PendingSignalsShared *m = (const PendingSignalsShared *)message;

	return siginfo_put(t, m->signals, m->n_signals, true, b, err);
}

static int pending_signals_shared_finish(struct restore_thread *t, const ProtobufCMessage *message,
		const struct batch *b, struct error *err)
{
	const PendingSignalsShared *m = (const PendingSignalsShared *)message;

	return siginfo_finish(t, m->signals, m->n_signals, true, err);
}

static const struct state_ops pending_signals_shared_state = {
	.take = pending_signals_shared_take,
	.put = pending_signals_shared_put,
	.finish = pending_signals_shared_finish,
};

const struct kind pending_signals_shared_kind = {
	.name = "pending-signals-shared",
	.record = 0x41,
	.scope = KIND_TASK,
	.message = &pending_signals_shared__descriptor,
	.help = "queued signals of the process with their siginfo",
	.state = &pending_signals_shared_state,
};
