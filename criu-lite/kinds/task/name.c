/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name of a thread, prctl(2) PR_SET_NAME. */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/name.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind name_kind;

static int name_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
		     struct error *err)
{
	Name m = NAME__INIT;

	m.tid = t->tid;
	m.name = t->status.name;
	return dump_state(t->task->dump, &name_kind, &m.base, err);
}

static int name_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		    struct error *err)
{
	batch_must(b, SYS_prctl, PR_SET_NAME, batch_string(b, ((const Name *)message)->name));
	return 0;
}

static const struct state_ops name_state = { .take = name_take, .put = name_put };

const struct kind name_kind = {
	.name = "name",
	.record = 0x85,
	.scope = KIND_THREAD,
	.message = &name__descriptor,
	.help = "name of the thread",
	.state = &name_state,
};
