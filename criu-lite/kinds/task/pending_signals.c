/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals that wait for one thread, blocked or not yet delivered. */
#include "images/pending_signals.pb-c.h"
#include "kinds/task/siginfo.h"

extern const struct kind pending_signals_kind;

static int pending_signals_take(struct dump_thread *t, const struct batch *b,
		const struct ask *ask, struct error *err)
{
	_cleanup_siginfo_list_ struct siginfo_list list = { 0 };
	PendingSignals m = PENDING_SIGNALS__INIT;

	if (siginfo_list_read(&list, &t->tracee, false, err) ||
	    siginfo_list_add(&list, t->tracee.requeue, err) || siginfo_fields(&list, err))
		return -1;
	if (!list.fields.count)
		return 0;
	m.tid = t->tid;
	m.signals = list.fields.items;
	m.n_signals = list.fields.count;
	return dump_state(t->task->dump, &pending_signals_kind, &m.base, err);
}

static int pending_signals_put(struct restore_thread *t, const ProtobufCMessage *message,
		struct batch *b, struct error *err)
{
	const PendingSignals *m = (const PendingSignals *)message;

	return siginfo_put(t, m->signals, m->n_signals, false, b, err);
}

static int pending_signals_finish(struct restore_thread *t, const ProtobufCMessage *message,
		const struct batch *b, struct error *err)
{
	const PendingSignals *m = (const PendingSignals *)message;

	return siginfo_finish(t, m->signals, m->n_signals, false, err);
}

static const struct state_ops pending_signals_state = {
	.take = pending_signals_take,
	.put = pending_signals_put,
	.finish = pending_signals_finish,
};

const struct kind pending_signals_kind = {
	.name = "pending-signals",
	.record = 0x86,
	.scope = KIND_THREAD,
	.message = &pending_signals__descriptor,
	.help = "queued signals of the thread with their siginfo",
	.state = &pending_signals_state,
};
