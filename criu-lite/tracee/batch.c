/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracee/batch.h"

#include <stdlib.h>
#include <string.h>

#include "tracee/agent.h"

enum {
	DATA_ALIGNMENT = 16,
	/* Kept for what agent_run appends. */
	STOP_RECORDS = 8,
	STOP_DATA = 512,
};

void batch_start(struct batch *b, const struct agent *agent)
{
	b->base = agent_data_address(agent);
	b->records.count = 0;
	b->data_size = 0;
	b->overflow = false;
}

void batch_release(struct batch *b)
{
	array_release(&b->records);
	free(b->data);
	*b = (struct batch){ 0 };
}

bool batch_has_room(const struct batch *b, size_t records, size_t data_size)
{
	return !b->overflow && b->records.count + records + STOP_RECORDS <= AGENT_RECORDS_MAX &&
	       data_size <= AGENT_BATCH_ROOM &&
	       b->data_size + data_size + STOP_DATA <= AGENT_BATCH_ROOM;
}

int batch_add(struct batch *b, uint32_t flags, long number, const uint64_t a[6])
{
	struct batch_record *r = array_add(&b->records);

	if (!r || b->records.count > AGENT_RECORDS_MAX) {
		b->overflow = true;
		b->records.count -= r != NULL;
		return 0;
	}
	r->number = number;
	r->flags = flags;
	memcpy(r->a, a, sizeof(r->a));
	return b->records.count - 1;
}

void batch_from(struct batch *b, int record, int argument, int source)
{
	b->records.items[record].flags |= 1u << argument;
	b->records.items[record].a[argument] = source;
}

uint64_t batch_argument(const struct batch *b, int record, int argument)
{
	return b->base - AGENT_RECORDS_SIZE + AGENT_HEADER_SIZE +
	       record * sizeof(struct batch_record) + offsetof(struct batch_record, a) +
	       argument * sizeof(uint64_t);
}

uint64_t batch_space(struct batch *b, size_t size)
{
	size_t rounded = (size + DATA_ALIGNMENT - 1) & ~(size_t)(DATA_ALIGNMENT - 1);

	if (b->overflow || rounded > AGENT_BATCH_ROOM - b->data_size) {
		b->overflow = true;
		return 0;
	}
	if (b->data_size + rounded > b->data_capacity) {
		size_t capacity = (b->data_size + rounded) * 2 + 1024;
		char *data = realloc(b->data, capacity);

		if (!data) {
			b->overflow = true;
			return 0;
		}
		b->data = data;
		b->data_capacity = capacity;
	}
	if (rounded)
		memset(b->data + b->data_size, 0, rounded);
	b->data_size += rounded;
	return b->base + b->data_size - rounded;
}

uint64_t batch_put(struct batch *b, const void *data, size_t size)
{
	uint64_t address = batch_space(b, size);

	if (address && size)
		memcpy(batch_at(b, address), data, size);
	return address;
}

uint64_t batch_string(struct batch *b, const char *text)
{
	return batch_put(b, text, strlen(text) + 1);
}

int64_t batch_result(const struct batch *b, int record)
{
	return b->records.items[record].result;
}

void *batch_at(const struct batch *b, uint64_t address)
{
	return b->data + (address - b->base);
}
