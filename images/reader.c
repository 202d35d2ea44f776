/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/reader.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "images/control.h"

_Static_assert(PREAMBLE_SIZE == HEADER_SIZE, "a message can stand before both");

/* The next header of the image, or its preamble; messages before it are given away. */
static int peek_header(struct stream_reader *r, const uint8_t **ret, size_t *ret_got,
		       struct error *err)
{
	int good;

	while ((good = source_peek(&r->source, HEADER_SIZE, ret, ret_got, err)) > 0 &&
	       r->on_connection && control_is_header(*ret)) {
		/* They are no part of the image, nor of its offsets. */
		source_forget(&r->source, HEADER_SIZE);
		if (r->control.take(r->control.context, *ret, err))
			return -1;
	}
	if (good == 0 && r->on_connection)
		return error_set(err, ERROR_PEER, 0, "the connection ended within the image");
	return good;
}

static int read_preamble(struct stream_reader *r, struct error *err)
{
	const uint8_t *bytes;
	size_t got;
	int good = peek_header(r, &bytes, &got, err);

	if (good < 0)
		return -1;
	if (got == 0)
		return error_set(err, ERROR_IMAGE, 0, "image: it is empty");
	if (!good && !memcmp(bytes, PREAMBLE_MAGIC, got < MAGIC_SIZE ? got : MAGIC_SIZE))
		return error_set(err, ERROR_IMAGE, 0, "image: it ends within the preamble");
	if (!good)
		return error_set(err, ERROR_IMAGE, 0, "this is not a criu-lite image");
	if (preamble_decode(bytes, &r->info, &r->digest, err))
		return -1;
	source_skip(&r->source, PREAMBLE_SIZE);
	return 0;
}

static int open_reader(struct stream_reader **ret, int fd, int jobs,
		       const struct stream_control *control, struct error *err)
{
	_cleanup_reader_ struct stream_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	pthread_mutex_init(&r->lock, NULL);
	pool_init(&r->pool, jobs < 1 ? 1 : jobs);
	r->slot_count = r->pool.jobs + 2;
	r->scratch = calloc(r->pool.jobs, sizeof(*r->scratch));
	r->slots = calloc(r->slot_count, sizeof(*r->slots));
	if (!r->scratch || !r->slots)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	if (source_open(&r->source, fd, err))
		return -1;
	if (control) {
		r->on_connection = true;
		r->control = *control;
		r->source.step = 0;
	}
	if (read_preamble(r, err))
		return -1;
	*ret = steal_ptr(r);
	return 0;
}

int stream_reader_open(struct stream_reader **ret, int fd, int jobs, struct error *err)
{
	return open_reader(ret, fd, jobs, NULL, err);
}

int stream_reader_open_connection(struct stream_reader **ret, int fd, int jobs,
				  const struct stream_control *control, struct error *err)
{
	return open_reader(ret, fd, jobs, control, err);
}

const struct stream_info *stream_reader_info(const struct stream_reader *r)
{
	return &r->info;
}

int record_ends(uint32_t number, uint64_t offset, struct error *err)
{
	return record_error(err, number, offset, "the image ends here, before its seal");
}

int reader_check(const struct stream_reader *r, struct error *err)
{
	if (r->failed)
		return error_set(err, ERROR_IMAGE, 0, "image: an earlier record could not be read");
	return 0;
}

int reader_fail(struct stream_reader *r)
{
	pool_cancel(&r->pool);
	r->failed = true;
	return -1;
}

int reader_worker_error(struct stream_reader *r, struct error *err)
{
	int failed;

	pthread_mutex_lock(&r->lock);
	failed = r->worker_error.kind != ERROR_NONE;
	if (failed) {
		*err = r->worker_error;
		r->worker_error = ERROR_INIT;
	}
	pthread_mutex_unlock(&r->lock);
	return failed ? -1 : 0;
}

int reader_header(struct stream_reader *r, struct record *ret, uint64_t *ret_check,
		  struct error *err)
{
	uint64_t offset = r->source.position;
	const uint8_t *bytes;
	size_t got;
	int good = peek_header(r, &bytes, &got, err);

	if (good < 0)
		return -1;
	if (!good)
		return record_ends(r->number, offset, err);
	if (header_decode(bytes, offset, r->number, ret, ret_check, err))
		return -1;
	source_skip(&r->source, HEADER_SIZE);
	r->number++;
	return 0;
}

int record_unpack(const struct record *record, const void *stored, struct scratch *s,
		  const void **ret, struct error *err)
{
	uint64_t offset = record->offset - HEADER_SIZE;
	int good;

	if (record->codec == CODEC_RAW) {
		*ret = stored;
		return 0;
	}
	good = scratch_unpack(s, stored, record->stored_size, record->size, err);
	if (good < 0)
		return -1;
	if (!good)
		return record_error(err, record->number, offset,
				    "its zstd payload does not unpack to %" PRIu32 " bytes",
				    record->size);
	*ret = s->raw.data;
	return 0;
}

int record_verify(const struct record *record, const void *stored, struct error *err)
{
	if (format_hash(stored, record->stored_size) == record->checksum)
		return 0;
	return record_error(err, record->number, record->offset - HEADER_SIZE,
			    "the payload is damaged (kind %u, %" PRIu32 " bytes)", record->kind,
			    record->stored_size);
}

int reader_load(struct stream_reader *r, const struct record *record, const void **ret,
		struct error *err)
{
	struct chunk *chunk = &r->scratch[0].packed;
	const uint8_t *bytes;
	size_t got;
	int good;

	if (record->stored_size <= SOURCE_BUFFER && !(record->flags & RECORD_BULK)) {
		good = source_peek(&r->source, record->stored_size, &bytes, &got, err);
		if (good > 0)
			source_skip(&r->source, record->stored_size);
	} else {
		if (chunk_reserve(chunk, record->stored_size, err))
			return -1;
		good = source_read(&r->source, chunk->data, record->stored_size, err);
		bytes = chunk->data;
	}
	if (good < 0)
		return -1;
	if (!good)
		return record_ends(record->number, record->offset - HEADER_SIZE, err);
	*ret = bytes;
	return record_verify(record, bytes, err);
}

/* Checks the payload of the record that nobody asked for. */
static int pass_over(struct stream_reader *r, struct error *err)
{
	const void *stored;

	if (r->current.flags & RECORD_BULK)
		return stream_hand_out(r, NULL, NULL, err);
	r->pending = false;
	return reader_load(r, &r->current, &stored, err);
}

static int check_seal(struct stream_reader *r, const struct record *record, struct seal *ret,
		      struct error *err)
{
	uint64_t offset = record->offset - HEADER_SIZE;
	const void *bytes;

	if (record->codec != CODEC_RAW || record->size != SEAL_SIZE)
		return record_error(err, record->number, offset, "the seal has a wrong form");
	if (reader_load(r, record, &bytes, err))
		return -1;
	seal_decode(bytes, ret);
	if (ret->flags & ~(uint64_t)SEAL_INDEX_FOLLOWS)
		return record_error(err, record->number, offset,
				    "the seal has unknown flags 0x%" PRIx64, ret->flags);
	if (ret->count != record->number || ret->offset != offset || ret->digest != r->digest)
		return record_error(err, record->number, offset,
				    "the seal does not match the records before it");
	return 0;
}

static int finish(struct stream_reader *r, const struct record *record, struct error *err)
{
	const uint8_t *bytes;
	struct seal seal;
	size_t got;

	pool_finish(&r->pool);
	if (reader_worker_error(r, err) || check_seal(r, record, &seal, err))
		return -1;
	if ((seal.flags & SEAL_INDEX_FOLLOWS) && index_check(r, err))
		return -1;
	if (r->on_connection) {
		r->ended = true;
		return 0;
	}
	if (source_peek(&r->source, 1, &bytes, &got, err) < 0)
		return -1;
	if (got)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: there is data behind its end at offset %" PRIu64,
				 r->source.position);
	r->ended = true;
	return 0;
}

static int next(struct stream_reader *r, struct record *ret, struct error *err)
{
	struct record record;
	uint64_t check;

	if (reader_worker_error(r, err) || (r->pending && pass_over(r, err)) ||
	    reader_header(r, &record, &check, err))
		return -1;
	if (record.kind == RECORD_SEAL)
		return finish(r, &record, err);
	if (record.kind == RECORD_INDEX)
		return record_error(err, record.number, record.offset - HEADER_SIZE,
				    "an index stands before the seal");
	r->pending = !(r->indexed && index_jump(r, &record, check));
	if (r->pending) {
		r->digest += check;
		record.run_count = 1;
		record.run_stored = record.stored_size;
		record.run_size = record.size;
	}
	*ret = r->current = record;
	return 1;
}

int stream_next(struct stream_reader *r, struct record *ret, struct error *err)
{
	int more;

	if (reader_check(r, err))
		return -1;
	r->payload = NULL;
	if (r->ended)
		return 0;
	more = next(r, ret, err);
	return more < 0 ? reader_fail(r) : more;
}

int stream_payload(struct stream_reader *r, const void **ret, size_t *ret_size, struct error *err)
{
	const void *stored;

	if (reader_check(r, err))
		return -1;
	if (!r->pending && !r->payload) {
		error_set(err, ERROR_FAILED, 0, "image: the payload is not there any more");
		return reader_fail(r);
	}
	if (!r->payload) {
		r->pending = false;
		if (reader_load(r, &r->current, &stored, err) ||
		    record_unpack(&r->current, stored, &r->scratch[0], &r->payload, err))
			return reader_fail(r);
	}
	*ret = r->payload;
	*ret_size = r->current.size;
	return 0;
}

void stream_reader_free(struct stream_reader *r)
{
	if (!r)
		return;
	pool_release(&r->pool);
	for (unsigned i = 0; r->scratch && i < r->pool.jobs; i++)
		scratch_release(&r->scratch[i]);
	for (unsigned i = 0; r->slots && i < r->slot_count; i++)
		chunk_release(&r->slots[i].stored);
	free(r->scratch);
	free(r->slots);
	source_release(&r->source);
	array_release(&r->index);
	error_clear(&r->worker_error);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
