/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that adopts orphaned descendants. */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/child_subreaper.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind child_subreaper_kind;

static int child_subreaper_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			       struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(int32_t));
	batch_must(b, SYS_prctl, PR_GET_CHILD_SUBREAPER, ask->address[0]);
	return 0;
}

static int child_subreaper_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
				struct error *err)
{
	ChildSubreaper m = CHILD_SUBREAPER__INIT;

	if (!*(const int32_t *)batch_at(b, ask->address[0]))
		return 0;
	m.pid = t->task->pid;
	return dump_state(t->task->dump, &child_subreaper_kind, &m.base, err);
}

static int child_subreaper_put(struct restore_thread *t, const ProtobufCMessage *message,
			       struct batch *b, struct error *err)
{
	batch_must(b, SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
	return 0;
}

static const struct state_ops child_subreaper_state = {
	.ask = child_subreaper_ask,
	.take = child_subreaper_take,
	.put = child_subreaper_put,
};

const struct kind child_subreaper_kind = {
	.name = "child-subreaper",
	.record = 0x47,
	.scope = KIND_TASK,
	.message = &child_subreaper__descriptor,
	.help = "adopts orphaned descendants",
	.state = &child_subreaper_state,
};
