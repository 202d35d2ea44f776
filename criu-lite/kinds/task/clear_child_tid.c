/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address that the kernel clears and wakes when a thread ends: how pthread_join waits. */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/clear_child_tid.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind clear_child_tid_kind;

static int clear_child_tid_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			       struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(uint64_t));
	batch_must(b, SYS_prctl, PR_GET_TID_ADDRESS, ask->address[0]);
	return 0;
}

static int clear_child_tid_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
				struct error *err)
{
	ClearChildTid m = CLEAR_CHILD_TID__INIT;

	m.tid = t->tid;
	m.address = *(const uint64_t *)batch_at(b, ask->address[0]);
	if (!m.address)
		return 0;
	return dump_state(t->task->dump, &clear_child_tid_kind, &m.base, err);
}

static int clear_child_tid_put(struct restore_thread *t, const ProtobufCMessage *message,
			       struct batch *b, struct error *err)
{
	batch_must(b, SYS_set_tid_address, ((const ClearChildTid *)message)->address);
	return 0;
}

static const struct state_ops clear_child_tid_state = {
	.ask = clear_child_tid_ask,
	.take = clear_child_tid_take,
	.put = clear_child_tid_put,
};

const struct kind clear_child_tid_kind = {
	.name = "clear-child-tid",
	.record = 0x83,
	.scope = KIND_THREAD,
	.message = &clear_child_tid__descriptor,
	.help = "address cleared when the thread ends",
	.state = &clear_child_tid_state,
};
