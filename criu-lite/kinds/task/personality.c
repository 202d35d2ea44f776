/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The execution domain of a thread, personality(2): address space flags, UNAME26 and such. */
#include <sys/syscall.h>

#include "images/personality.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind personality_kind;

/* This argument only asks. */
#define PERSONALITY_QUERY 0xffffffffu

static int personality_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			   struct error *err)
{
	ask->record = batch_must(b, SYS_personality, PERSONALITY_QUERY);
	return 0;
}

static int personality_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			    struct error *err)
{
	Personality m = PERSONALITY__INIT;

	m.tid = t->tid;
	m.persona = batch_result(b, ask->record);
	return dump_state(t->task->dump, &personality_kind, &m.base, err);
}

static int personality_put(struct restore_thread *t, const ProtobufCMessage *message,
			   struct batch *b, struct error *err)
{
	batch_must(b, SYS_personality, ((const Personality *)message)->persona);
	return 0;
}

static const struct state_ops personality_state = {
	.ask = personality_ask,
	.take = personality_take,
	.put = personality_put,
};

const struct kind personality_kind = {
	.name = "personality",
	.record = 0x87,
	.scope = KIND_THREAD,
	.message = &personality__descriptor,
	.help = "execution domain",
	.state = &personality_state,
};
