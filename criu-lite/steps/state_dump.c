/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/state_dump.h"

#include <errno.h>
#include <stdlib.h>

#include "kinds/enter.h"

/* One collected record: this header, then the packed message. */
struct kept {
	uint16_t record;
	uint32_t size;
};

int dump_state(struct dump *d, const struct kind *kind, const ProtobufCMessage *message,
	       struct error *err)
{
	struct kept head = { kind->record, protobuf_c_message_get_packed_size(message) };

	if (head.size > RECORD_PAYLOAD_MAX)
		return error_set(err, ERROR_FAILED, 0, "%s %u: %u bytes are too many for a record",
				 kind->name, kind_message_id(message), head.size);
	if (buffer_append(&d->state, &head, sizeof(head)) || buffer_reserve(&d->state, head.size))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", kind->name);
	protobuf_c_message_pack(message, (uint8_t *)d->state.data + d->state.size);
	d->state.size += head.size;
	return 0;
}

int state_dump_write(struct dump *d, struct error *err)
{
	size_t at = 0;

	while (at < d->state.size) {
		struct kept head;

		memcpy(&head, d->state.data + at, sizeof(head));
		at += sizeof(head);
		if (stream_write_packed(d->out, head.record, RECORD_CRITICAL, d->state.data + at,
					head.size, err))
			return -1;
		at += head.size;
	}
	return 0;
}

static bool applies(const struct kind *kind, bool speaks_for_process)
{
	return kind->state && (kind->scope == KIND_THREAD ||
			       (kind->scope == KIND_TASK && speaks_for_process));
}

/* All questions to one thread are one batch. */
static int dump_thread(struct dump_thread *t, bool speaks, struct batch *b, struct ask *asks,
		       struct error *err)
{
	const struct kind *const *row;

	batch_start(b, &t->task->agent);
	for (row = kinds_table; *row; row++)
		if (applies(*row, speaks) && (*row)->state->ask &&
		    (*row)->state->ask(t, b, &asks[row - kinds_table], err))
			return error_wrap(err, "%s", (*row)->name);
	if (b->records.count && (agent_run(&t->task->agent, &t->tracee, b, err) ||
				 tracee_restore(&t->tracee, err)))
		return -1;
	for (row = kinds_table; *row; row++)
		if (applies(*row, speaks) && (*row)->state->take &&
		    (*row)->state->take(t, b, &asks[row - kinds_table], err))
			return error_wrap(err, "%s", (*row)->name);
	return 0;
}

static int dump_task(struct dump_task *task, struct batch *b, struct ask *asks, struct error *err)
{
	struct dump_thread *t;

	if (task->zombie)
		return 0;
	if (dump_enter(task, err))
		return -1;
	array_for(t, &task->threads)
		if (dump_thread(t, t == task->threads.items, b, asks, err))
			return -1;
	return dump_leave(task, err);
}

int state_dump(struct dump *d, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct ask *asks = calloc(kinds_count() + 1, sizeof(*asks));
	struct dump_task **task;
	int r = 0;

	if (!asks)
		return error_set(err, ERROR_FAILED, ENOMEM, "questions");
	array_for(task, &d->tasks) {
		r = dump_task(*task, &b, asks, err);
		if (r)
			break;
	}
	free(asks);
	return r;
}
