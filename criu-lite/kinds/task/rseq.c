/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registration of restartable sequences. A sequence that our stop fell into is aborted when the
 * thread is held (tracee_save). From its registration on the kernel writes into the thread's memory
 * whenever it is scheduled, so this comes late.
 */
#include <sys/syscall.h>

#include "images/rseq.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind rseq_kind;

static int rseq_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
		     struct error *err)
{
	struct tracee_rseq found;
	Rseq m = RSEQ__INIT;

	if (tracee_rseq(&t->tracee, &found, err))
		return -1;
	if (!found.address)
		return 0;
	m.tid = t->tid;
	m.address = found.address;
	m.size = found.size;
	m.signature = found.signature;
	return dump_state(t->task->dump, &rseq_kind, &m.base, err);
}

static int rseq_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		    struct error *err)
{
	const Rseq *m = (const Rseq *)message;

	batch_must(b, SYS_rseq, m->address, m->size, 0, m->signature);
	return 0;
}

static const struct state_ops rseq_state = { .take = rseq_take, .put = rseq_put };

const struct kind rseq_kind = {
	.name = "rseq",
	.record = 0x84,
	.scope = KIND_THREAD,
	.message = &rseq__descriptor,
	.help = "registration of restartable sequences",
	.state = &rseq_state,
};
