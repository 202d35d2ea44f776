/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record stream: a foreign message takes neither all memory nor all stack. */
#include "stream_case.h"

static void a_message_cannot_take_all_memory(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_writer_ struct stream_writer *w = NULL;
	_cleanup_reader_ struct stream_reader *r = NULL;
	_cleanup_fd_ int fd = memory_file("", 0);
	struct stream_options options = { .jobs = 1 };
	ProtobufCMessage *message;
	struct record record;
	_cleanup_free_ uint8_t *bytes = malloc(RECORD_PAYLOAD_MAX);

	/* Millions of empty strings, two bytes each. */
	for (size_t i = 0; i < RECORD_PAYLOAD_MAX; i += 2) {
		bytes[i] = 12 << 3 | 2;
		bytes[i + 1] = 0;
	}
	assert_int_equal(stream_writer_open(&w, fd, &options, &err), 0);
	assert_int_equal(stream_write_packed(w, MESSAGE, 0, bytes, RECORD_PAYLOAD_MAX, &err), 0);
	assert_int_equal(stream_writer_seal(w, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(stream_reader_open(&r, fd, 1, &err), 0);
	assert_int_equal(stream_next(r, &record, &err), 1);
	assert_int_equal(stream_message(r, &image__descriptor, &message, &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	assert_non_null(strstr(err.message, "too large"));
}

struct nest {
	ProtobufCMessage base;
	struct nest *inner;
};

static const ProtobufCMessageDescriptor nest_type;
static const ProtobufCFieldDescriptor nest_fields[] = {
	{ "inner", 1, PROTOBUF_C_LABEL_OPTIONAL, PROTOBUF_C_TYPE_MESSAGE, 0,
	  offsetof(struct nest, inner), &nest_type, NULL, 0, 0, NULL, NULL },
};
static const unsigned nest_order[] = { 0 };
static const ProtobufCIntRange nest_ranges[] = { { 1, 0 }, { 0, 1 } };
static const ProtobufCMessageDescriptor nest_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, .name = "Nest", .short_name = "Nest",
	.sizeof_message = sizeof(struct nest), .n_fields = 1, .fields = nest_fields,
	.fields_sorted_by_name = nest_order, .n_field_ranges = 1, .field_ranges = nest_ranges,
};

/* protobuf-c recurses: a message in a message in a message … would end the stack. */
static int read_nest(unsigned depth, struct error *err)
{
	_cleanup_writer_ struct stream_writer *w = NULL;
	_cleanup_reader_ struct stream_reader *r = NULL;
	_cleanup_fd_ int fd = memory_file("", 0);
	struct stream_options options = { .jobs = 1 };
	_cleanup_free_ uint8_t *bytes = malloc(depth * 6 + 1);
	ProtobufCMessage *message;
	struct record record;
	size_t at = depth * 6;

	for (unsigned i = 0; i < depth; i++) {
		uint32_t inner = depth * 6 - at;

		at -= 6;
		memcpy(bytes + at, (uint8_t[]){ 1 << 3 | 2, inner | 0x80, inner >> 7 | 0x80,
						inner >> 14 | 0x80, inner >> 21 | 0x80, 0 }, 6);
	}
	assert_int_equal(stream_writer_open(&w, fd, &options, err), 0);
	assert_int_equal(stream_write_packed(w, MESSAGE, 0, bytes, depth * 6, err), 0);
	assert_int_equal(stream_writer_seal(w, err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(stream_reader_open(&r, fd, 1, err), 0);
	assert_int_equal(stream_next(r, &record, err), 1);
	if (stream_message(r, &nest_type, &message, err))
		return -1;
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

static void nesting_has_a_limit(void **state)
{
	static const unsigned depths[] = { 32, 1000, 1000000 };

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_int_equal(read_nest(depths[i], &err), -1);
		assert_int_equal(err.kind, ERROR_IMAGE);
		assert_non_null(strstr(err.message, "nests too deep"));
	}
	for (unsigned depth = 0; depth < 32; depth++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		if (read_nest(depth, &err))
			fail_msg("depth %u: %s", depth, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_cannot_take_all_memory),
		cmocka_unit_test(nesting_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
