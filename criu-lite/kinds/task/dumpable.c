/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a process may be traced by its user and leaves a core file. */
#include "kinds/task/dumpable.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/dumpable.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

static int dumpable_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	ask->record = batch_must(b, SYS_prctl, PR_GET_DUMPABLE);
	return 0;
}

static int dumpable_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			 struct error *err)
{
	Dumpable m = DUMPABLE__INIT;

	m.pid = t->task->pid;
	m.dumpable = batch_result(b, ask->record);
	return dump_state(t->task->dump, &dumpable_kind, &m.base, err);
}

int dumpable_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		 struct error *err)
{
	const Dumpable *m = (const Dumpable *)message;

	/* No program can ask for 2, only the kernel sets it. 0 differs in the core file alone, of
	 * which there is none then. */
	if (m)
		batch_must(b, SYS_prctl, PR_SET_DUMPABLE, m->dumpable == 1);
	return 0;
}

static const struct state_ops dumpable_state = {
	.ask = dumpable_ask,
	.take = dumpable_take,
	.put = dumpable_put,
};

const struct kind dumpable_kind = {
	.name = "dumpable",
	.record = 0x46,
	.scope = KIND_TASK,
	.message = &dumpable__descriptor,
	.help = "whether it may be traced and leaves core files",
	.state = &dumpable_state,
};
