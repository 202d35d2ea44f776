/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The robust futexes of a thread, which the kernel gives up for it when it dies. */
#include <sys/syscall.h>

#include "images/robust_list.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind robust_list_kind;

struct answer {
	uint64_t address, size;
};

static int robust_list_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			   struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(struct answer));
	batch_must(b, SYS_get_robust_list, 0, ask->address[0] + offsetof(struct answer, address),
		   ask->address[0] + offsetof(struct answer, size));
	return 0;
}

static int robust_list_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			    struct error *err)
{
	const struct answer *answer = batch_at(b, ask->address[0]);
	RobustList m = ROBUST_LIST__INIT;

	if (!answer->address)
		return 0;
	m.tid = t->tid;
	m.address = answer->address;
	m.size = answer->size;
	return dump_state(t->task->dump, &robust_list_kind, &m.base, err);
}

static int robust_list_put(struct restore_thread *t, const ProtobufCMessage *message,
			   struct batch *b, struct error *err)
{
	const RobustList *m = (const RobustList *)message;

	batch_must(b, SYS_set_robust_list, m->address, m->size);
	return 0;
}

static const struct state_ops robust_list_state = {
	.ask = robust_list_ask,
	.take = robust_list_take,
	.put = robust_list_put,
};

const struct kind robust_list_kind = {
	.name = "robust-list",
	.record = 0x82,
	.scope = KIND_THREAD,
	.message = &robust_list__descriptor,
	.help = "list of robust futexes",
	.state = &robust_list_state,
};
