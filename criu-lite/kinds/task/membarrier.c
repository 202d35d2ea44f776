/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process has registered with membarrier(2). Kernels before 6.3 do not tell; a program whose
 * registration is lost there sees its next expedited barrier fail with EPERM.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>

#include "images/membarrier.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind membarrier_kind;

/* MEMBARRIER_CMD_GET_REGISTRATIONS; an enum in its header, and older headers do not have it. */
enum { GET_REGISTRATIONS = 1 << 9 };

static int membarrier_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			  struct error *err)
{
	ask->record = batch_call(b, SYS_membarrier, GET_REGISTRATIONS);
	return 0;
}

static int membarrier_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			   struct error *err)
{
	int64_t found = batch_result(b, ask->record);
	Membarrier m = MEMBARRIER__INIT;

	if (found <= 0)
		return 0;
	m.pid = t->task->pid;
	m.registrations = found;
	return dump_state(t->task->dump, &membarrier_kind, &m.base, err);
}

static int membarrier_put(struct restore_thread *t, const ProtobufCMessage *message,
			  struct batch *b, struct error *err)
{
	static const uint32_t known = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
				      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
				      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |
				      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;
	const Membarrier *m = (const Membarrier *)message;
	uint32_t one;

	if (m->registrations & ~known)
		return error_set(err, ERROR_IMAGE, 0, "process %u: barriers %#x", m->pid,
				 m->registrations);
	for (one = 1; one <= known; one <<= 1)
		if (m->registrations & one)
			batch_must(b, SYS_membarrier, one);
	return 0;
}

static const struct state_ops membarrier_state = {
	.ask = membarrier_ask,
	.take = membarrier_take,
	.put = membarrier_put,
};

const struct kind membarrier_kind = {
	.name = "membarrier",
	.record = 0x4a,
	.scope = KIND_TASK,
	.message = &membarrier__descriptor,
	.help = "registrations for expedited memory barriers",
	.state = &membarrier_state,
};
