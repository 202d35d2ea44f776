/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a thread's new memory is taken from, set_mempolicy(2). */
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>

#include "images/numa_policy.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind numa_policy_kind;

enum { NODES = 1024 };

struct answer {
	int32_t mode, unused[3];
	uint8_t nodes[NODES / 8];
};

static int numa_policy_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			   struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(struct answer));
	/* ENOSYS without NUMA: then there is nothing but the default. */
	ask->record = batch_call(b, SYS_get_mempolicy, ask->address[0],
				 ask->address[0] + offsetof(struct answer, nodes), NODES, 0,
				 0);
	return 0;
}

static int numa_policy_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			    struct error *err)
{
	struct answer *answer = batch_at(b, ask->address[0]);
	NumaPolicy m = NUMA_POLICY__INIT;

	if (batch_result(b, ask->record) < 0)
		return 0;
	m.tid = t->tid;
	m.mode = answer->mode;
	m.nodes.data = answer->nodes;
	m.nodes.len = sizeof(answer->nodes);
	while (m.nodes.len && !answer->nodes[m.nodes.len - 1])
		m.nodes.len--;
	return dump_state(t->task->dump, &numa_policy_kind, &m.base, err);
}

static int numa_policy_put(struct restore_thread *t, const ProtobufCMessage *message,
			   struct batch *b, struct error *err)
{
	const NumaPolicy *m = (const NumaPolicy *)message;
	uint8_t nodes[NODES / 8] = { 0 };

	if (m->nodes.len > NODES / 8)
		return error_set(err, ERROR_IMAGE, 0, "task %u: %zu bytes of memory nodes", m->tid,
				 m->nodes.len);
	if (m->nodes.len)
		memcpy(nodes, m->nodes.data, m->nodes.len);
	/* The default means nothing to a kernel without NUMA. */
	batch_add(b, m->mode == MPOL_DEFAULT ? 0 : BATCH_MUST, SYS_set_mempolicy,
		  (const uint64_t[6]){ (int32_t)m->mode,
				       m->nodes.len ? batch_put(b, nodes, sizeof(nodes)) : 0,
				       m->nodes.len ? NODES : 0 });
	return 0;
}

static const struct state_ops numa_policy_state = {
	.ask = numa_policy_ask,
	.take = numa_policy_take,
	.put = numa_policy_put,
};

const struct kind numa_policy_kind = {
	.name = "numa-policy",
	.record = 0x8b,
	.scope = KIND_THREAD,
	.message = &numa_policy__descriptor,
	.help = "memory nodes preferred by the thread",
	.state = &numa_policy_state,
};
