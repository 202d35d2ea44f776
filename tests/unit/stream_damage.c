/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record stream: every damaged, shortened or forged image is an ERROR_IMAGE, never a crash. */
#include "stream_case.h"

static struct bulk_case tiny = { 3, 40, SIZE_MAX };

/* A message, three chunks, a packed record, seal and index: below a kilobyte. */
static void write_tiny_of(int32_t pid, struct buffer *ret, uint64_t *ret_seal)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_writer_ struct stream_writer *w = NULL;
	_cleanup_fd_ int fd = memory_file("", 0);
	struct stream_options options = { .jobs = 1 };
	struct bulk_source source = { 3, BULK, 0, case_size, case_fill, &tiny };
	uint64_t unpacked;

	assert_int_equal(stream_writer_open(&w, fd, &options, &err), 0);
	assert_int_equal(write_message(w, pid, 3, &err), 0);
	assert_int_equal(stream_write_bulk(w, &source, &err), 0);
	assert_int_equal(stream_write_packed(w, PACKED, 0, "packed", 6, &err), 0);
	stream_writer_sizes(w, &unpacked, ret_seal);
	assert_int_equal(stream_writer_seal(w, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read_fd_to_end(fd, ret), 0);
}

static void write_tiny(struct buffer *ret, uint64_t *ret_seal)
{
	write_tiny_of(1, ret, ret_seal);
}

/* Offset of the header of record `number` in an image of raw records. */
static size_t find_record(const struct buffer *image, unsigned number)
{
	size_t at = PREAMBLE_SIZE;

	while (number--)
		at += HEADER_SIZE + get32((uint8_t *)image->data + at + 24);
	return at;
}

/* Reads everything in all the ways there are; returns 0 when the image is good. */
static int walk(int fd, int jobs, bool by_index, struct error *err)
{
	_cleanup_reader_ struct stream_reader *r = NULL;
	ProtobufCMessage *message;
	struct record record;
	const void *payload;
	size_t size;
	int more;

	if (stream_reader_open(&r, fd, jobs, err) || (by_index && stream_use_index(r, err) < 0))
		return -1;
	while ((more = stream_next(r, &record, err)) > 0) {
		bool failed = false;

		if (record.kind == MESSAGE) {
			failed = stream_message(r, &image__descriptor, &message, err);
			if (!failed)
				protobuf_c_message_free_unpacked(message, NULL);
		} else if (record.flags & RECORD_BULK) {
			failed = !by_index && stream_hand_out(r, NULL, NULL, err);
		} else {
			failed = stream_payload(r, &payload, &size, err);
		}
		if (failed)
			return -1;
	}
	return more < 0 ? -1 : stream_barrier(r, err);
}

static int walk_file(const void *data, size_t size, int jobs, bool by_index, struct error *err)
{
	_cleanup_fd_ int fd = memory_file(data, size);

	return walk(fd, jobs, by_index, err);
}

/* The bytes must fit into the pipe. */
static int walk_pipe(const void *data, size_t size, int jobs, struct error *err)
{
	int ends[2], result;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], data, size), size);
	close(ends[1]);
	result = walk(ends[0], jobs, false, err);
	close(ends[0]);
	return result;
}

static void must_be_refused(const void *data, size_t size, int jobs, const char *text, size_t at)
{
	for (int way = 0; way < 2; way++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		int result = way ? walk_pipe(data, size, jobs, &err) :
				   walk_file(data, size, jobs, false, &err);

		if (result == 0)
			fail_msg("%s at %zu was accepted (way %d)", text, at, way);
		if (err.kind != ERROR_IMAGE)
			fail_msg("%s at %zu: kind %d: %s", text, at, err.kind, err.message);
	}
}

static void ends_at_every_byte(void **state)
{
	_cleanup_buffer_ struct buffer image = { 0 };
	uint64_t seal;

	write_tiny(&image, &seal);
	for (size_t size = 0; size < image.size; size++)
		must_be_refused(image.data, size, size % 16 ? 1 : 3, "an end", size);
}

static void every_bit_counts(void **state)
{
	_cleanup_buffer_ struct buffer image = { 0 };
	uint64_t seal;

	write_tiny(&image, &seal);
	for (size_t bit = 0; bit < image.size * 8; bit++) {
		image.data[bit / 8] ^= 1 << bit % 8;
		must_be_refused(image.data, image.size, bit % 64 ? 1 : 3, "a flipped bit", bit);
		image.data[bit / 8] ^= 1 << bit % 8;
	}
}

/* By the index, payloads of bulk records are not looked at; everything else is. */
static void every_bit_counts_by_the_index(void **state)
{
	_cleanup_error_ struct error good = ERROR_INIT;
	_cleanup_buffer_ struct buffer image = { 0 };
	size_t accepted = 0;
	uint64_t seal;

	write_tiny(&image, &seal);
	assert_int_equal(walk_file(image.data, image.size, 1, true, &good), 0);
	for (size_t bit = 0; bit < image.size * 8; bit++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		image.data[bit / 8] ^= 1 << bit % 8;
		if (!walk_file(image.data, image.size, 1, true, &err))
			accepted++;
		else
			assert_int_equal(err.kind, ERROR_IMAGE);
		image.data[bit / 8] ^= 1 << bit % 8;
	}
	/* The three payloads and the two headers that are jumped over. */
	assert_int_equal(accepted, 8 * (40 + 40 + 13 + 2 * HEADER_SIZE));
}

static void nothing_may_follow(void **state)
{
	_cleanup_buffer_ struct buffer image = { 0 };
	uint64_t seal;

	write_tiny(&image, &seal);
	assert_int_equal(buffer_append(&image, "x", 1), 0);
	must_be_refused(image.data, image.size, 1, "a byte behind", image.size);
	assert_int_equal(buffer_append(&image, image.data + PREAMBLE_SIZE, 200), 0);
	must_be_refused(image.data, image.size, 1, "a record behind", image.size);
}

/* Records that are good by themselves, but not those that were sealed. */
static void two_images_do_not_mix(void **state)
{
	_cleanup_buffer_ struct buffer image = { 0 }, other = { 0 };
	uint64_t seal;

	write_tiny_of(1, &image, &seal);
	write_tiny_of(2, &other, &seal);
	assert_int_equal(image.size, other.size);
	memcpy(image.data, other.data, find_record(&image, 1));
	must_be_refused(image.data, image.size, 1, "a mixture", 0);
	memcpy(image.data, other.data, find_record(&image, 5));
	must_be_refused(image.data, image.size, 1, "a mixture", 1);
}

/* ---- forged with right checks ---- */

struct forgery {
	const char *says;	/* part of the message that it must cause */
	unsigned number;
	struct record change;	/* members that are not 0 replace those of the header */
	const char *payload;	/* new start of the payload, or NULL */
	size_t payload_size;
};

static void forge(struct buffer *image, const struct forgery *f)
{
	uint8_t *header = (uint8_t *)image->data + find_record(image, f->number);
	struct record record = {
		.kind = get16(header + 20), .codec = header[22], .flags = header[23],
		.number = get32(header + 16), .stored_size = get32(header + 24),
		.size = get32(header + 28),
	};
	uint32_t stored = record.stored_size;

	if (f->payload)
		memcpy(header + HEADER_SIZE, f->payload, f->payload_size);
#define REPLACE(member) record.member = f->change.member ? f->change.member : record.member
	REPLACE(kind);
	REPLACE(codec);
	REPLACE(flags);
	REPLACE(number);
	REPLACE(stored_size);
	REPLACE(size);
#undef REPLACE
	if (record.stored_size < stored)
		stored = record.stored_size;
	record.checksum = format_hash(header + HEADER_SIZE, stored);
	header_encode(header, &record);
}

static void forgeries_are_named(void **state)
{
	static const uint8_t seal_flags[32] = { [28] = 0x80 };
	static const struct forgery forgeries[] = {
		{ "above the limit",
		  1,
		  { .stored_size = UINT32_MAX, .size = UINT32_MAX },
		  NULL,
		  0 },
		{ "above the limit", 0, { .stored_size = UINT32_MAX }, NULL, 0 },
		{ "above the limit", 2, { .size = RECORD_PAYLOAD_MAX + 1 }, NULL, 0 },
		{ "contradict", 1, { .size = RECORD_PAYLOAD_MAX }, NULL, 0 },
		{ "before its seal",
		  1,
		  { .stored_size = RECORD_PAYLOAD_MAX, .size = RECORD_PAYLOAD_MAX },
		  NULL,
		  0 },
		{ "before its seal", 4, { .stored_size = 500000, .size = 500000 }, NULL, 0 },
		{ "unknown codec 7", 1, { .codec = 7 }, NULL, 0 },
		{ "unknown flags", 1, { .flags = 0x42 }, NULL, 0 },
		{ "out of order", 2, { .number = 9 }, NULL, 0 },
		{ "does not unpack",
		  1,
		  { .codec = CODEC_ZSTD, .size = RECORD_PAYLOAD_MAX },
		  NULL,
		  0 },
		{ "does not unpack", 4, { .codec = CODEC_ZSTD }, NULL, 0 },
		{ "index stands before", 4, { .kind = RECORD_INDEX }, NULL, 0 },
		{ "wrong form", 4, { .kind = RECORD_SEAL }, NULL, 0 },
		{ "bulk data where a Image", 0, { .flags = RECORD_BULK }, NULL, 0 },
		{ "malformed", 0, { 0 }, "\xff\xff\xff\xff\xff", 5 },
		{ "malformed", 4, { .kind = MESSAGE }, NULL, 0 },
		{ "does not match", 5, { 0 }, "\x04", 1 },
		{ "unknown flags", 5, { 0 }, (const char *)seal_flags, sizeof(seal_flags) },
		{ "not the index", 6, { .kind = PACKED }, NULL, 0 },
		{ "not the index", 6, { .codec = CODEC_ZSTD }, NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forgeries); i++) {
		const struct forgery *f = &forgeries[i];
		uint64_t seal;

		for (int way = 0; way < 4; way++) {
			_cleanup_buffer_ struct buffer image = { 0 };
			_cleanup_error_ struct error err = ERROR_INIT;

			write_tiny(&image, &seal);
			forge(&image, f);
			assert_int_equal(
				way & 1 ? walk_pipe(image.data, image.size, 1 + way, &err)
					: walk_file(image.data, image.size, 1 + way, false, &err),
				-1);
			assert_int_equal(err.kind, ERROR_IMAGE);
			if (!strstr(err.message, f->says))
				fail_msg("forgery %zu: %s", i, err.message);
		}
	}
}

static void forged_runs_are_refused(void **state)
{
	static const struct run runs[] = {
		{ .offset = UINT64_MAX - 10, .length = 20, .count = 1, .kind = BULK },
		{ .offset = 100, .length = UINT64_MAX - 50, .count = 1, .kind = BULK },
		{ .offset = 0, .length = 200, .count = 1, .kind = BULK },
		{ .offset = 100, .length = 64, .count = UINT32_MAX, .kind = BULK },
		{ .offset = 100, .length = 64, .count = 0, .kind = BULK },
		{ .offset = 100, .length = 64, .count = 1, .kind = RECORD_SEAL },
		{ .offset = 100, .length = 64, .count = 1, .first = UINT32_MAX, .kind = BULK },
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		_cleanup_buffer_ struct buffer image = { 0 };
		_cleanup_error_ struct error err = ERROR_INIT;
		struct run run = runs[i];
		uint8_t bytes[RUN_SIZE];
		uint64_t seal;

		run.flags = RECORD_BULK;
		run_encode(bytes, &run);
		write_tiny(&image, &seal);
		forge(&image, &(struct forgery){ "", 6, { 0 }, (char *)bytes, sizeof(bytes) });
		assert_int_equal(walk_file(image.data, image.size, 1, true, &err), -1);
		assert_int_equal(err.kind, ERROR_IMAGE);
		if (!strstr(err.message, "contradicts"))
			fail_msg("run %zu: %s", i, err.message);
	}
}

/* ---- preambles ---- */

static void foreign_images_are_named(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *says;
	} cases[] = {
		{ 8, 2, "format version 2" }, { 16, 183, "aarch64" }, { 14, 1, "pages of" },
		{ 20, 1, "reserved" }, { 0, 'x', "not a criu-lite image" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		uint8_t bytes[PREAMBLE_SIZE];

		preamble_encode(bytes);
		bytes[cases[i].at] = cases[i].value;
		put64(bytes + 24, format_hash(bytes, 24));
		assert_int_equal(walk_file(bytes, sizeof(bytes), 1, false, &err), -1);
		assert_int_equal(err.kind, ERROR_IMAGE);
		if (!strstr(err.message, cases[i].says))
			fail_msg("case %zu: %s", i, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_at_every_byte),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(every_bit_counts_by_the_index),
		cmocka_unit_test(nothing_may_follow),
		cmocka_unit_test(two_images_do_not_mix),
		cmocka_unit_test(forgeries_are_named),
		cmocka_unit_test(forged_runs_are_refused),
		cmocka_unit_test(foreign_images_are_named),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
