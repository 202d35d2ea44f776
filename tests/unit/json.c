/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages as JSON: each type of field, set and unset, in the form that json.h promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "images/image.pb-c.h"
#include "images/json.h"

/* A message with all that descriptors can say, described by hand as protoc-c would. */
struct everything {
	ProtobufCMessage base;
	int32_t i32;
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	float single;
	double twice;
	protobuf_c_boolean flag;
	int colour;
	char *text;
	ProtobufCBinaryData bytes;
	struct everything *inner;
	protobuf_c_boolean has_maybe;
	int32_t maybe;
	char *maybe_text;
	size_t n_numbers;
	uint64_t *numbers;
	size_t n_texts;
	char **texts;
	size_t n_flags;
	protobuf_c_boolean *flags;
	size_t n_blobs;
	ProtobufCBinaryData *blobs;
	size_t n_inners;
	struct everything **inners;
	uint32_t choice_case;
	union {
		int32_t choice_number;
		char *choice_text;
	};
};

static const char default_text[] = "as before";

static const ProtobufCEnumValue colours[] = { { "RED", "RED", 0 }, { "BLUE", "BLUE", 7 } };
static const ProtobufCIntRange colour_ranges[] = { { 0, 0 }, { 7, 1 }, { 0, 2 } };
static const ProtobufCEnumDescriptor colour_type = {
	.magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC, .name = "Colour", .n_values = 2,
	.values = colours, .n_value_ranges = 2, .value_ranges = colour_ranges,
};

static const ProtobufCMessageDescriptor everything_type;

#define AT(member) offsetof(struct everything, member)
#define REQUIRED(id, type, member, of)                                                             \
	{                                                                                          \
#member, id, PROTOBUF_C_LABEL_REQUIRED, PROTOBUF_C_TYPE_##type, 0, AT(member), of, \
			NULL, 0, 0, NULL, NULL                                                     \
	}
#define OPTIONAL(id, type, has, member, of, standard) \
	{ #member, id, PROTOBUF_C_LABEL_OPTIONAL, PROTOBUF_C_TYPE_##type, has, AT(member), of, \
	  standard, 0, 0, NULL, NULL }
#define REPEATED(id, type, member, of)                                                             \
	{                                                                                          \
#member, id, PROTOBUF_C_LABEL_REPEATED, PROTOBUF_C_TYPE_##type, AT(n_##member),    \
			AT(member), of, NULL, 0, 0, NULL, NULL                                     \
	}
#define CHOICE(id, type, member)                                                                   \
	{                                                                                          \
#member, id, PROTOBUF_C_LABEL_OPTIONAL, PROTOBUF_C_TYPE_##type, AT(choice_case),   \
			AT(member), NULL, NULL, PROTOBUF_C_FIELD_FLAG_ONEOF, 0, NULL, NULL         \
	}

static const ProtobufCFieldDescriptor fields[] = {
	REQUIRED(1, INT32, i32, NULL),
	REQUIRED(2, UINT32, u32, NULL),
	REQUIRED(3, INT64, i64, NULL),
	REQUIRED(4, UINT64, u64, NULL),
	REQUIRED(5, FLOAT, single, NULL),
	REQUIRED(6, DOUBLE, twice, NULL),
	REQUIRED(7, BOOL, flag, NULL),
	REQUIRED(8, ENUM, colour, &colour_type),
	REQUIRED(9, STRING, text, NULL),
	REQUIRED(10, BYTES, bytes, NULL),
	OPTIONAL(11, MESSAGE, 0, inner, &everything_type, NULL),
	OPTIONAL(12, INT32, AT(has_maybe), maybe, NULL, NULL),
	OPTIONAL(13, STRING, 0, maybe_text, NULL, default_text),
	REPEATED(14, UINT64, numbers, NULL),
	REPEATED(15, STRING, texts, NULL),
	REPEATED(16, BOOL, flags, NULL),
	REPEATED(17, BYTES, blobs, NULL),
	REPEATED(18, MESSAGE, inners, &everything_type),
	CHOICE(19, INT32, choice_number),
	CHOICE(20, STRING, choice_text),
};

static const ProtobufCMessageDescriptor everything_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, .name = "Everything",
	.sizeof_message = sizeof(struct everything), .n_fields = ARRAY_SIZE(fields),
	.fields = fields,
};

static struct everything everything_new(void)
{
	return (struct everything){
		.base.descriptor = &everything_type,
		.text = "",
		.maybe_text = (char *)default_text,
	};
}

/* Compares one member of the message with JSON text. */
static void expect(const struct everything *message, const char *name, const char *expected)
{
	json_t *object = json_from_message(&message->base);
	json_t *value = json_object_get(object, name);
	char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("absent");

	assert_non_null(object);
	assert_string_equal(text, expected);
	free(text);
	json_decref(object);
}

static void numbers(void **state)
{
	struct everything m = everything_new();

	m.i32 = -5;
	m.u32 = UINT32_MAX;
	m.i64 = -(1ll << 53);
	m.u64 = 1ull << 53;
	m.single = 0.5;
	m.twice = -0.25;
	m.flag = 1;
	expect(&m, "i32", "-5");
	expect(&m, "u32", "4294967295");
	expect(&m, "i64", "-9007199254740992");
	expect(&m, "u64", "9007199254740992");
	expect(&m, "single", "0.5");
	expect(&m, "twice", "-0.25");
	expect(&m, "flag", "true");
	m.i64 = INT64_MIN;
	m.u64 = UINT64_MAX;
	m.single = -INFINITY;
	m.twice = NAN;
	m.flag = 0;
	expect(&m, "i64", "\"-9223372036854775808\"");
	expect(&m, "u64", "\"18446744073709551615\"");
	expect(&m, "single", "\"-inf\"");
	expect(&m, "twice", "\"nan\"");
	expect(&m, "flag", "false");
}

static void names(void **state)
{
	struct everything m = everything_new();

	expect(&m, "colour", "\"RED\"");
	m.colour = 7;
	expect(&m, "colour", "\"BLUE\"");
	m.colour = 3;
	expect(&m, "colour", "3");
}

static void texts(void **state)
{
	struct everything m = everything_new();

	expect(&m, "text", "\"\"");
	m.text = "/tmp/\xc3\xa4 \"b\"";
	expect(&m, "text", "\"/tmp/\xc3\xa4 \\\"b\\\"\"");
	m.text = "\xff\xfe";
	expect(&m, "text", "{\"base64\":\"//4=\"}");
}

/* The vectors of RFC 4648. */
static void bytes(void **state)
{
	static const char *const vectors[][2] = {
		{ "", "\"\"" },
		{ "f", "\"Zg==\"" },
		{ "fo", "\"Zm8=\"" },
		{ "foo", "\"Zm9v\"" },
		{ "foob", "\"Zm9vYg==\"" },
		{ "fooba", "\"Zm9vYmE=\"" },
		{ "foobar", "\"Zm9vYmFy\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct everything m = everything_new();

		m.bytes = (ProtobufCBinaryData){ strlen(vectors[i][0]), (uint8_t *)vectors[i][0] };
		expect(&m, "bytes", vectors[i][1]);
	}
}

static void what_is_not_set_is_absent(void **state)
{
	struct everything m = everything_new(), inner = everything_new();

	expect(&m, "inner", "absent");
	expect(&m, "maybe", "absent");
	expect(&m, "maybe_text", "absent");
	expect(&m, "choice_number", "absent");
	expect(&m, "choice_text", "absent");
	expect(&m, "unknown_fields", "absent");
	m.inner = &inner;
	inner.inner = NULL;
	m.has_maybe = 1;
	m.maybe_text = "new";
	m.choice_case = 20;
	m.choice_text = "this";
	expect(&m, "maybe", "0");
	expect(&m, "maybe_text", "\"new\"");
	expect(&m, "choice_number", "absent");
	expect(&m, "choice_text", "\"this\"");
	m.choice_case = 19;
	m.choice_number = 4;
	expect(&m, "choice_number", "4");
	expect(&m, "choice_text", "absent");
}

static void lists(void **state)
{
	struct everything m = everything_new(), inner = everything_new();
	uint64_t values[] = { 1, UINT64_MAX };
	char *strings[] = { "a", "\x80" };
	protobuf_c_boolean flags[] = { 1, 0, 1 };
	ProtobufCBinaryData blobs[] = { { 1, (uint8_t *)"f" }, { 0, NULL } };
	struct everything *inners[] = { &inner, &inner };
	json_t *object, *list;

	expect(&m, "numbers", "[]");
	m.n_numbers = m.n_texts = m.n_blobs = m.n_inners = 2;
	m.n_flags = 3;
	m.numbers = values;
	m.texts = strings;
	m.flags = flags;
	m.blobs = blobs;
	m.inners = inners;
	inner.i32 = 8;
	expect(&m, "numbers", "[1,\"18446744073709551615\"]");
	expect(&m, "texts", "[\"a\",{\"base64\":\"gA==\"}]");
	expect(&m, "flags", "[true,false,true]");
	expect(&m, "blobs", "[\"Zg==\",\"\"]");
	object = json_from_message(&m.base);
	list = json_object_get(object, "inners");
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "i32")), 8);
	json_decref(object);
}

/* A generated message, through the wire, with a field of a later version. */
static void generated(void **state)
{
	static const uint8_t packed[] = "\x08\x02\x12\x01" "c\x1a\x02id\x20\x05\x28\x07\x30\x80\x20"
					"\x50\x02\xf8\x3f\x01";
	Image *image = image__unpack(NULL, sizeof(packed) - 1, packed);
	json_t *object;
	char *text;

	assert_non_null(image);
	object = json_from_message(&image->base);
	text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"command_line\":[],\"created_ns\":5,\"creator\":\"c\","
				  "\"id\":\"aWQ=\",\"minor_version\":2,\"page_size\":4096,"
				  "\"root_pid\":7,\"target_state\":\"STOPPED\","
				  "\"unknown_fields\":[1023]}");
	free(text);
	json_decref(object);
	image__free_unpacked(image, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(names),
		cmocka_unit_test(texts),
		cmocka_unit_test(bytes),
		cmocka_unit_test(what_is_not_set_is_absent),
		cmocka_unit_test(lists),
		cmocka_unit_test(generated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
