/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/reader.h"

#include "base/cleanup.h"

/* Records in a row before threads are worth their start. */
#define ALONE_MAX 2u

static int process(struct slot *slot, struct scratch *s, struct error *err)
{
	struct stream_reader *r = slot->reader;
	const struct record *record = &slot->record;
	const void *stored = slot->stored.data, *payload;

	if (r->source.regular) {
		int good;

		if (chunk_reserve(&s->packed, record->stored_size, err))
			return -1;
		good = source_pread(&r->source, s->packed.data, record->stored_size, record->offset,
				    err);
		if (good < 0)
			return -1;
		if (!good)
			return record_ends(record->number, record->offset - HEADER_SIZE, err);
		stored = s->packed.data;
	}
	if (record_verify(record, stored, err) || record_unpack(record, stored, s, &payload, err))
		return -1;
	return slot->take ? slot->take(slot->context, payload, record->size, err) : 0;
}

static bool failed_before(struct stream_reader *r)
{
	bool failed;

	pthread_mutex_lock(&r->lock);
	failed = r->worker_error.kind != ERROR_NONE;
	pthread_mutex_unlock(&r->lock);
	return failed;
}

static void run(struct pool_task *task, unsigned worker)
{
	struct slot *slot = (struct slot *)task;
	struct stream_reader *r = slot->reader;
	struct error err = ERROR_INIT;

	if (!failed_before(r) && process(slot, &r->scratch[worker], &err)) {
		error_set(&err, ERROR_FAILED, 0, "image: a record was not taken");
		pthread_mutex_lock(&r->lock);
		if (r->worker_error.kind == ERROR_NONE) {
			r->worker_error = err;
			err = ERROR_INIT;
		}
		pthread_mutex_unlock(&r->lock);
	}
	error_clear(&err);
	__atomic_store_n(&slot->busy, false, __ATOMIC_RELEASE);
}

static struct slot *find_free(struct stream_reader *r)
{
	for (unsigned i = 0; i < r->slot_count; i++)
		if (!__atomic_load_n(&r->slots[i].busy, __ATOMIC_ACQUIRE))
			return &r->slots[i];
	return NULL;
}

static struct slot *wait_free(struct stream_reader *r)
{
	struct slot *slot;

	while (!(slot = find_free(r)))
		if (!pool_help(&r->pool))
			pool_wait_one(&r->pool);
	return slot;
}

/* Gets the stored payload on its way to the worker. */
static int pass_payload(struct stream_reader *r, struct slot *slot, struct error *err)
{
	const struct record *record = &slot->record;
	int good;

	if (r->source.regular) {
		source_skip(&r->source, record->stored_size);
		return 0;
	}
	if (chunk_reserve(&slot->stored, record->stored_size, err))
		return -1;
	good = source_read(&r->source, slot->stored.data, record->stored_size, err);
	if (good < 0)
		return -1;
	return good ? 0 : record_ends(record->number, record->offset - HEADER_SIZE, err);
}

int stream_hand_out(struct stream_reader *r, bulk_take take, void *context, struct error *err)
{
	struct slot *slot;

	if (reader_check(r, err))
		return -1;
	if (!r->pending) {
		error_set(err, ERROR_FAILED, 0, "image: the payload is not there any more");
		return reader_fail(r);
	}
	slot = wait_free(r);
	slot->task.run = run;
	slot->reader = r;
	slot->record = r->current;
	slot->take = take;
	slot->context = context;
	r->pending = false;
	if (reader_worker_error(r, err) || pass_payload(r, slot, err))
		return reader_fail(r);
	slot->busy = true;
	pool_put(&r->pool, &slot->task);
	if (r->pool.jobs == 1)
		pool_help(&r->pool);
	else if (++r->handed_out > ALONE_MAX)
		pool_start(&r->pool);
	return 0;
}

int stream_barrier(struct stream_reader *r, struct error *err)
{
	if (reader_check(r, err))
		return -1;
	r->payload = NULL;
	r->handed_out = 0;
	pool_finish(&r->pool);
	return reader_worker_error(r, err) ? reader_fail(r) : 0;
}
