/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which memory goes into a core file. */
#include <stdio.h>
#include <stdlib.h>

#include "images/core_filter.pb-c.h"
#include "kinds/task/proc_file.h"

extern const struct kind core_filter_kind;

static const char file[] = "coredump_filter";

static int core_filter_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			    struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	CoreFilter m = CORE_FILTER__INIT;

	if (thread_read_proc(t, file, &text, err))
		return -1;
	m.pid = t->task->pid;
	m.mask = strtoul(text.data, NULL, 16);
	return dump_state(t->task->dump, &core_filter_kind, &m.base, err);
}

static int core_filter_finish(struct restore_thread *t, const ProtobufCMessage *message,
			      const struct batch *b, struct error *err)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%x", ((const CoreFilter *)message)->mask);
	return puppet_write_proc(t, file, text, err);
}

static const struct state_ops core_filter_state = {
	.take = core_filter_take,
	.finish = core_filter_finish,
};

const struct kind core_filter_kind = {
	.name = "core-filter",
	.record = 0x49,
	.scope = KIND_TASK,
	.message = &core_filter__descriptor,
	.help = "which memory goes into core files",
	.state = &core_filter_state,
};
