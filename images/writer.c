/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

/* Small enough to stay in the cache, large enough that a small image is a handful of writes. */
#define BUFFER_SIZE (64u << 10)

static int find_place(struct stream_writer *w, struct error *err)
{
	struct stat st;
	off_t base;
	int flags = fcntl(w->fd, F_GETFL);

	if (flags < 0 || fstat(w->fd, &st))
		return error_set(err, ERROR_FAILED, errno, "image: cannot use descriptor %d",
				 w->fd);
	if (!S_ISREG(st.st_mode) || (flags & O_APPEND))
		return 0;
	base = lseek(w->fd, 0, SEEK_CUR);
	if (base < 0)
		return error_set(err, ERROR_FAILED, errno, "image: cannot seek in the file");
	if (st.st_size > base)
		return error_set(err, ERROR_FAILED, 0,
				 "image: the output file already has data behind its position %lld",
				 (long long)base);
	w->base = base;
	w->regular = true;
	return 0;
}

int stream_writer_open(struct stream_writer **ret, int fd, const struct stream_options *options,
		       struct error *err)
{
	_cleanup_writer_ struct stream_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	w->fd = fd;
	w->options = *options;
	if (w->options.jobs < 1)
		w->options.jobs = 1;
	pool_init(&w->pool, w->options.jobs);
	w->scratch = calloc(w->options.jobs, sizeof(*w->scratch));
	w->buffer = malloc(BUFFER_SIZE);
	if (!w->scratch || !w->buffer)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	if (find_place(w, err))
		return -1;
	w->digest = preamble_encode(w->buffer);
	w->buffered = w->offset = PREAMBLE_SIZE;
	*ret = steal_ptr(w);
	return 0;
}

int writer_output(const struct stream_writer *w, const void *data, size_t size, uint64_t offset,
		  struct error *err)
{
	int failed = w->regular ? pwrite_full(w->fd, data, size, w->base + offset) :
				  write_full(w->fd, data, size);

	if (failed)
		return error_set(err, ERROR_FAILED, errno,
				 "image: cannot write %zu bytes at offset %" PRIu64, size, offset);
	return 0;
}

int writer_flush(struct stream_writer *w, struct error *err)
{
	size_t size = w->buffered;

	w->buffered = 0;
	if (size && writer_output(w, w->buffer, size, w->offset - size, err)) {
		w->failed = true;
		return -1;
	}
	return 0;
}

int stream_writer_flush(struct stream_writer *w, struct error *err)
{
	return writer_check(w, 0, err) || writer_flush(w, err) ? -1 : 0;
}

int writer_check(const struct stream_writer *w, size_t count, struct error *err)
{
	if (w->sealed)
		return error_set(err, ERROR_FAILED, 0, "image: nothing can follow the seal");
	if (w->failed)
		return error_set(err, ERROR_FAILED, 0, "image: an earlier write failed");
	if (count >= UINT32_MAX - 1 - w->number)
		return error_set(err, ERROR_FAILED, 0, "image: too many records");
	return 0;
}

/* Counts a record whose header and payload are about to be written at w->offset. */
static int note_record(struct stream_writer *w, const struct record *record, uint64_t check,
		       struct error *err)
{
	struct run run = {
		.offset = w->offset,
		.length = HEADER_SIZE + record->stored_size,
		.size = record->size,
		.digest = check,
		.first = w->number,
		.count = 1,
		.kind = record->kind,
		.flags = record->flags,
	};

	if ((record->flags & RECORD_BULK) && record->kind >= RECORD_HEADER &&
	    index_note(w, &run, err))
		return -1;
	w->number++;
	w->digest += check;
	w->unpacked += record->size;
	w->offset += run.length;
	return 0;
}

/* Puts a payload that lies in the buffer, behind room for its header, into the stream. */
static int put_buffered(struct stream_writer *w, uint16_t kind, uint8_t flags, size_t size,
			struct error *err)
{
	uint8_t *header = w->buffer + w->buffered;
	struct record record = {
		.kind = kind,
		.flags = flags,
		.number = w->number,
		.stored_size = size,
		.size = size,
		.checksum = format_hash(header + HEADER_SIZE, size),
	};

	if (note_record(w, &record, header_encode(header, &record), err))
		return -1;
	w->buffered += HEADER_SIZE + size;
	return 0;
}

/* Makes room for a record in the buffer; false when it is too large for it. */
static bool fits_buffer(const struct stream_writer *w, size_t size)
{
	return size <= BUFFER_SIZE - HEADER_SIZE;
}

static int make_room(struct stream_writer *w, size_t size, struct error *err)
{
	if (w->buffered + HEADER_SIZE + size <= BUFFER_SIZE)
		return 0;
	return writer_flush(w, err);
}

int writer_put_raw(struct stream_writer *w, uint16_t kind, uint8_t flags, size_t size,
		   struct error *err)
{
	struct chunk *chunk = &w->scratch[0].raw;
	struct record record = { .kind = kind, .flags = flags, .number = w->number, .size = size };
	size_t stored = size;
	uint64_t offset, check;

	if (w->options.codec == CODEC_ZSTD && size >= PACK_MINIMUM &&
	    scratch_pack(&w->scratch[0], w->options.level, size, &chunk, &stored, err))
		return -1;
	record.codec = stored < size ? CODEC_ZSTD : CODEC_RAW;
	record.stored_size = stored;
	record.checksum = format_hash(chunk->data, stored);
	check = header_encode(chunk->data - HEADER_SIZE, &record);
	if (make_room(w, stored, err))
		return -1;
	offset = w->offset;
	if (note_record(w, &record, check, err))
		return -1;
	if (fits_buffer(w, stored)) {
		memcpy(w->buffer + w->buffered, chunk->data - HEADER_SIZE, HEADER_SIZE + stored);
		w->buffered += HEADER_SIZE + stored;
		return 0;
	}
	if (writer_output(w, chunk->data - HEADER_SIZE, HEADER_SIZE + stored, offset, err)) {
		w->failed = true;
		return -1;
	}
	return 0;
}

static int check_message(const struct stream_writer *w, uint16_t kind, size_t size,
			 struct error *err)
{
	if (writer_check(w, 1, err))
		return -1;
	if (kind < RECORD_HEADER)
		return error_set(err, ERROR_FAILED, 0, "image: kind %u is not the caller's", kind);
	if (size > RECORD_PAYLOAD_MAX)
		return error_set(err, ERROR_FAILED, 0,
				 "image: a record of kind %u would have %zu bytes, more than %u",
				 kind, size, RECORD_PAYLOAD_MAX);
	return 0;
}

static bool goes_to_buffer(const struct stream_writer *w, size_t size)
{
	return fits_buffer(w, size) && (w->options.codec == CODEC_RAW || size < PACK_MINIMUM);
}

int stream_write(struct stream_writer *w, uint16_t kind, uint8_t flags,
		 const ProtobufCMessage *message, struct error *err)
{
	size_t size = protobuf_c_message_get_packed_size(message);

	if (check_message(w, kind, size, err))
		return -1;
	if (goes_to_buffer(w, size)) {
		if (make_room(w, size, err))
			return -1;
		protobuf_c_message_pack(message, w->buffer + w->buffered + HEADER_SIZE);
		return put_buffered(w, kind, flags, size, err);
	}
	if (chunk_reserve(&w->scratch[0].raw, size, err))
		return -1;
	protobuf_c_message_pack(message, w->scratch[0].raw.data);
	return writer_put_raw(w, kind, flags, size, err);
}

int stream_write_packed(struct stream_writer *w, uint16_t kind, uint8_t flags, const void *data,
			size_t size, struct error *err)
{
	if (check_message(w, kind, size, err))
		return -1;
	if (goes_to_buffer(w, size)) {
		if (make_room(w, size, err))
			return -1;
		if (size)
			memcpy(w->buffer + w->buffered + HEADER_SIZE, data, size);
		return put_buffered(w, kind, flags, size, err);
	}
	if (chunk_reserve(&w->scratch[0].raw, size, err))
		return -1;
	memcpy(w->scratch[0].raw.data, data, size);
	return writer_put_raw(w, kind, flags, size, err);
}

static int put_seal(struct stream_writer *w, struct error *err)
{
	struct seal seal = {
		.count = w->number,
		.digest = w->digest,
		.offset = w->offset,
		.flags = index_wanted(w) ? SEAL_INDEX_FOLLOWS : 0,
	};

	if (make_room(w, SEAL_SIZE, err))
		return -1;
	seal_encode(w->buffer + w->buffered + HEADER_SIZE, &seal);
	if (put_buffered(w, RECORD_SEAL, RECORD_CRITICAL | RECORD_BULK, SEAL_SIZE, err))
		return -1;
	return seal.flags & SEAL_INDEX_FOLLOWS ? index_write(w, err) : 0;
}

int stream_writer_seal(struct stream_writer *w, struct error *err)
{
	if (writer_check(w, 1, err))
		return -1;
	w->failed = true;
	if (put_seal(w, err) || writer_flush(w, err))
		return -1;
	if (w->regular && lseek(w->fd, w->base + w->offset, SEEK_SET) < 0)
		return error_set(err, ERROR_FAILED, errno, "image: cannot seek in the file");
	if (w->regular && fsync(w->fd))
		return error_set(err, ERROR_FAILED, errno, "image: fsync");
	w->failed = false;
	w->sealed = true;
	return 0;
}

void stream_writer_sizes(const struct stream_writer *w, uint64_t *ret_unpacked,
			 uint64_t *ret_stored)
{
	*ret_unpacked = w->unpacked;
	*ret_stored = w->offset;
}

bool stream_writer_undo(struct stream_writer *w)
{
	struct stat st;

	pool_cancel(&w->pool);
	w->failed = true;
	if (!w->regular)
		return w->offset == w->buffered;
	return !fstat(w->fd, &st) &&
	       ((uint64_t)st.st_size <= w->base || !ftruncate(w->fd, w->base));
}

void stream_writer_free(struct stream_writer *w)
{
	if (!w)
		return;
	pool_release(&w->pool);
	for (int i = 0; w->scratch && i < w->options.jobs; i++)
		scratch_release(&w->scratch[i]);
	free(w->scratch);
	free(w->buffer);
	array_release(&w->index);
	free(w);
}
