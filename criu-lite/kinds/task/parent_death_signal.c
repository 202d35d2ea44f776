/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signal that a thread gets when its parent ends. A change of credentials resets it. */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "images/parent_death_signal.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind parent_death_signal_kind;

static int parent_death_signal_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
				   struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(int32_t));
	batch_must(b, SYS_prctl, PR_GET_PDEATHSIG, ask->address[0]);
	return 0;
}

static int parent_death_signal_take(struct dump_thread *t, const struct batch *b,
				    const struct ask *ask, struct error *err)
{
	ParentDeathSignal m = PARENT_DEATH_SIGNAL__INIT;

	m.tid = t->tid;
	m.signal = *(const int32_t *)batch_at(b, ask->address[0]);
	return m.signal ? dump_state(t->task->dump, &parent_death_signal_kind, &m.base, err) : 0;
}

static int parent_death_signal_put(struct restore_thread *t, const ProtobufCMessage *message,
				   struct batch *b, struct error *err)
{
	uint32_t signal = ((const ParentDeathSignal *)message)->signal;

	/* The root's parent was somebody outside, and is us now: our end is not what is meant. */
	if (!t->task->parent && t->task->restore->detached) {
		log_notice("process %d, thread %d: its parent-death signal %u is not set, as "
			   "its parent is another one now", t->task->pid, t->tid, signal);
		return 0;
	}
	batch_must(b, SYS_prctl, PR_SET_PDEATHSIG, signal);
	return 0;
}

static const struct state_ops parent_death_signal_state = {
	.ask = parent_death_signal_ask,
	.take = parent_death_signal_take,
	.put = parent_death_signal_put,
};

const struct kind parent_death_signal_kind = {
	.name = "parent-death-signal",
	.record = 0xa1,
	.scope = KIND_THREAD,
	.message = &parent_death_signal__descriptor,
	.help = "signal sent when the parent ends",
	.state = &parent_death_signal_state,
};
