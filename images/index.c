/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "images/reader.h"
#include "images/writer.h"

/*
 * The index tells where bulk records lie, so that one who looks at messages need not walk through
 * gigabytes of headers: one entry for all bulk records of one kind that follow each other.
 */

int index_note(struct stream_writer *w, const struct run *run, struct error *err)
{
	struct run *last = w->index.count ? &w->index.items[w->index.count - 1] : NULL;

	if (!w->regular || w->index_overflow)
		return 0;
	if (last && last->kind == run->kind && last->flags == run->flags &&
	    last->offset + last->length == run->offset) {
		last->length += run->length;
		last->size += run->size;
		last->digest += run->digest;
		last->count += run->count;
		return 0;
	}
	if (w->index.count == INDEX_RUNS_MAX) {
		array_release(&w->index);
		w->index_overflow = true;
		return 0;
	}
	last = array_add(&w->index);
	if (!last)
		return error_set(err, ERROR_FAILED, ENOMEM, "image: index");
	*last = *run;
	return 0;
}

bool index_wanted(const struct stream_writer *w)
{
	return w->index.count;
}

int index_write(struct stream_writer *w, struct error *err)
{
	struct trailer trailer = { .offset = w->offset, .runs = w->index.count };
	size_t size = w->index.count * RUN_SIZE, done = 0;
	struct record record = { .kind = RECORD_INDEX, .flags = RECORD_BULK, .number = w->number,
				 .stored_size = size, .size = size };
	struct chunk *chunk = &w->scratch[0].raw;
	struct run *run;

	if (chunk_reserve(chunk, size + TRAILER_SIZE, err))
		return -1;
	array_for(run, &w->index)
		run_encode(chunk->data + RUN_SIZE * done++, run);
	record.checksum = format_hash(chunk->data, size);
	header_encode(chunk->data - HEADER_SIZE, &record);
	trailer_encode(chunk->data + size, &trailer);
	if (writer_flush(w, err))
		return -1;
	size += HEADER_SIZE + TRAILER_SIZE;
	if (writer_output(w, chunk->data - HEADER_SIZE, size, w->offset, err))
		return -1;
	w->offset += size;
	return 0;
}

static int check_form(const struct record *record, struct error *err)
{
	if (record->kind == RECORD_INDEX && record->codec == CODEC_RAW && record->size &&
	    record->size % RUN_SIZE == 0)
		return 0;
	return record_error(err, record->number, record->offset - HEADER_SIZE,
			    "this is not the index that the seal announces");
}

int index_check(struct stream_reader *r, struct error *err)
{
	struct trailer trailer;
	struct record record;
	const uint8_t *bytes;
	const void *stored;
	uint64_t check;
	size_t got;
	int good;

	if (reader_header(r, &record, &check, err) || check_form(&record, err) ||
	    reader_load(r, &record, &stored, err))
		return -1;
	good = source_peek(&r->source, TRAILER_SIZE, &bytes, &got, err);
	if (good < 0)
		return -1;
	if (!good)
		return error_set(err, ERROR_IMAGE, 0, "image: it ends within its trailer");
	if (trailer_decode(bytes, &trailer) || trailer.offset != record.offset - HEADER_SIZE ||
	    trailer.runs != record.size / RUN_SIZE)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: the trailer behind the index is damaged");
	source_skip(&r->source, TRAILER_SIZE);
	return 0;
}

/* Reads the runs, each of which must lie behind the one before it and before `limit`. */
static int decode_runs(struct stream_reader *r, const uint8_t *bytes, size_t count, uint64_t limit)
{
	uint64_t behind = PREAMBLE_SIZE, number = 0;

	for (size_t i = 0; i < count; i++) {
		struct run *run = array_add(&r->index);

		if (!run)
			return -1;
		run_decode(bytes + i * RUN_SIZE, run);
		if (run->offset < behind || run->offset > limit ||
		    run->length > limit - run->offset || run->first < number || !run->count ||
		    run->length < (uint64_t)run->count * HEADER_SIZE || run->kind < RECORD_HEADER ||
		    !(run->flags & RECORD_BULK))
			return -1;
		behind = run->offset + run->length;
		number = (uint64_t)run->first + run->count;
	}
	return number > UINT32_MAX ? -1 : 0;
}

/* Reads the header of the index record where the trailer says that it is. */
static int read_header(struct stream_reader *r, const struct trailer *trailer, uint64_t end,
		       struct record *ret, struct error *err)
{
	uint8_t bytes[HEADER_SIZE];
	uint64_t check;
	int good;

	if (trailer->offset > end - TRAILER_SIZE - HEADER_SIZE)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: the trailer points outside of the file");
	good = source_pread(&r->source, bytes, sizeof(bytes), trailer->offset, err);
	if (good <= 0)
		return good < 0 ? -1 : record_ends(0, trailer->offset, err);
	if (header_decode(bytes, trailer->offset, get32(bytes + 16), ret, &check, err) ||
	    check_form(ret, err))
		return -1;
	if (ret->offset + ret->size + TRAILER_SIZE != end || ret->size / RUN_SIZE != trailer->runs)
		return record_error(err, ret->number, trailer->offset,
				    "the index does not end where the trailer begins");
	return 0;
}

static int load(struct stream_reader *r, const struct trailer *trailer, uint64_t end,
		struct error *err)
{
	struct chunk *chunk = &r->scratch[0].packed;
	struct record record;
	int good;

	if (read_header(r, trailer, end, &record, err) || chunk_reserve(chunk, record.size, err))
		return -1;
	good = source_pread(&r->source, chunk->data, record.size, record.offset, err);
	if (good <= 0)
		return good < 0 ? -1 : record_ends(record.number, trailer->offset, err);
	if (record_verify(&record, chunk->data, err))
		return -1;
	if (decode_runs(r, chunk->data, trailer->runs, trailer->offset))
		return record_error(err, record.number, trailer->offset,
				    "the index contradicts itself");
	return 0;
}

int stream_use_index(struct stream_reader *r, struct error *err)
{
	uint8_t bytes[TRAILER_SIZE];
	struct trailer trailer;
	struct stat st;
	uint64_t end;
	int good;

	if (!r->source.regular || r->number)
		return 0;
	if (fstat(r->source.fd, &st))
		return error_set(err, ERROR_FAILED, errno, "image");
	end = st.st_size - r->source.base;
	if (end < PREAMBLE_SIZE + 2 * HEADER_SIZE + SEAL_SIZE + TRAILER_SIZE)
		return 0;
	good = source_pread(&r->source, bytes, sizeof(bytes), end - TRAILER_SIZE, err);
	if (good < 0)
		return -1;
	if (!good || trailer_decode(bytes, &trailer))
		return 0;
	if (load(r, &trailer, end, err))
		return reader_fail(r);
	r->indexed = true;
	return 1;
}

bool index_jump(struct stream_reader *r, struct record *record, uint64_t check)
{
	uint64_t offset = record->offset - HEADER_SIZE;
	const struct run *run;

	while (r->next_run < r->index.count && r->index.items[r->next_run].offset < offset)
		r->next_run++;
	if (r->next_run == r->index.count)
		return false;
	run = &r->index.items[r->next_run];
	if (run->offset != offset || run->first != record->number || run->kind != record->kind ||
	    run->flags != record->flags)
		return false;
	record->run_count = run->count;
	record->run_stored = run->length - (uint64_t)run->count * HEADER_SIZE;
	record->run_size = run->size;
	r->digest += run->digest;
	r->number = run->first + run->count;
	source_skip(&r->source, run->length - HEADER_SIZE);
	return true;
}
