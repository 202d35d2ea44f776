/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No bytes make the reader of the stream crash, overrun, leak or hang. The first byte says how the
 * rest is read (enum way). Since no fuzzer guesses checksums, they can be put right beforehand, so
 * that forged lengths, kinds, indexes and messages get past them.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/format.h"
#include "images/image.pb-c.h"
#include "images/json.h"

enum way {
	REPAIR = 1,	/* checks and record numbers */
	RESEAL = 2,	/* also the contents of the seal and of the trailer */
	PIPE = 4,
	BY_INDEX = 8,
	HAND_OUT = 16,
	TWO_JOBS = 32,
};

/* What a pipe holds. */
#define SIZE_LIMIT (60u << 10)

static void repair_seal(uint8_t *payload, size_t at, uint32_t number, uint64_t digest)
{
	struct seal seal;

	seal_decode(payload, &seal);
	seal.count = number;
	seal.digest = digest;
	seal.offset = at;
	seal_encode(payload, &seal);
}

static void repair_trailer(uint8_t *data, size_t size, size_t index)
{
	struct trailer trailer = { .offset = index };

	if (size < index + HEADER_SIZE + TRAILER_SIZE)
		return;
	trailer.runs = (size - index - HEADER_SIZE - TRAILER_SIZE) / RUN_SIZE;
	trailer_encode(data + size - TRAILER_SIZE, &trailer);
}

static void repair(uint8_t *data, size_t size, enum way way)
{
	uint64_t digest = size < PREAMBLE_SIZE ? 0 : preamble_encode(data);
	size_t at = PREAMBLE_SIZE;

	for (uint32_t number = 0; at + HEADER_SIZE <= size; number++) {
		uint8_t *header = data + at, *payload = header + HEADER_SIZE;
		struct record record = {
			.kind = get16(header + 20), .codec = header[22], .flags = header[23],
			.number = number, .stored_size = get32(header + 24),
			.size = get32(header + 28),
		};
		size_t left = size - at - HEADER_SIZE;

		if (record.kind == RECORD_SEAL && left >= SEAL_SIZE && (way & RESEAL))
			repair_seal(payload, at, number, digest);
		if (record.kind == RECORD_INDEX && (way & RESEAL))
			repair_trailer(data, size, at);
		if (record.stored_size <= left)
			record.checksum = format_hash(payload, record.stored_size);
		digest += header_encode(header, &record);
		at += HEADER_SIZE + (size_t)record.stored_size;
	}
}

static int take(void *context, const void *payload, size_t size, struct error *err)
{
	const uint8_t *bytes = payload;

	/* Touches both ends, for the sanitizer. */
	return size && bytes[0] == 0xee && bytes[size - 1] == 0xdd ?
		error_set(err, ERROR_TARGET, 0, "cannot take") : 0;
}

static int look_at_message(struct stream_reader *r, struct error *err)
{
	ProtobufCMessage *message;

	if (stream_message(r, &image__descriptor, &message, err))
		return -1;
	json_decref(json_from_message(message));
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

static int look_at(struct stream_reader *r, const struct record *record, enum way way,
		   struct error *err)
{
	const void *payload;
	size_t size;

	if (record->kind == RECORD_HEADER)
		return look_at_message(r, err);
	if (record->run_count != 1 || record->kind % 4 == 1)
		return 0;
	if (way & HAND_OUT)
		return stream_hand_out(r, take, NULL, err);
	return stream_payload(r, &payload, &size, err) || take(NULL, payload, size, err);
}

static int walk(int fd, enum way way, struct error *err)
{
	_cleanup_reader_ struct stream_reader *r = NULL;
	struct record record;
	int more;

	if (stream_reader_open(&r, fd, way & TWO_JOBS ? 2 : 1, err) ||
	    ((way & BY_INDEX) && stream_use_index(r, err) < 0))
		return -1;
	while ((more = stream_next(r, &record, err)) > 0)
		if (look_at(r, &record, way, err))
			return -1;
	return more < 0 ? -1 : stream_barrier(r, err);
}

static int open_bytes(const uint8_t *data, size_t size, enum way way)
{
	int ends[2];

	if (!(way & PIPE))
		ends[0] = ends[1] = memfd_create("fuzz", MFD_CLOEXEC);
	else if (pipe(ends))
		abort();
	if (write_full(ends[1], data, size))
		abort();
	if (way & PIPE)
		close(ends[1]);
	else
		lseek(ends[0], 0, SEEK_SET);
	return ends[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_fd_ int fd = -1;

	if (size < 1 || size > SIZE_LIMIT)
		return 0;
	data = malloc(size);
	memcpy(data, input + 1, size - 1);
	if (input[0] & REPAIR)
		repair(data, size - 1, input[0]);
	fd = open_bytes(data, size - 1, input[0]);
	/* A failure always says what it was, and a success never does. */
	if ((walk(fd, input[0], &err) != 0) != (err.kind != ERROR_NONE))
		abort();
	return 0;
}
