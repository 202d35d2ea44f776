/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define EXACT_IN_DOUBLE (1ull << 53)

json_t *json_from_bytes(const void *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_cleanup_free_ char *text = malloc(size / 3 * 4 + 5);
	const uint8_t *in = data;
	char *out = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t three = in[i] << 16;

		if (left > 1)
			three |= in[i + 1] << 8;
		if (left > 2)
			three |= in[i + 2];
		*out++ = digits[three >> 18];
		*out++ = digits[three >> 12 & 63];
		*out++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[three & 63] : '=';
	}
	return json_stringn(text, out - text);
}

static json_t *from_unsigned(uint64_t value)
{
	char text[24];

	if (value <= EXACT_IN_DOUBLE)
		return json_integer(value);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static json_t *from_signed(int64_t value)
{
	char text[24];

	if (value >= -(int64_t)EXACT_IN_DOUBLE && value <= (int64_t)EXACT_IN_DOUBLE)
		return json_integer(value);
	snprintf(text, sizeof(text), "%" PRId64, value);
	return json_string(text);
}

static json_t *from_double(double value)
{
	char text[8];

	if (isfinite(value))
		return json_real(value);
	snprintf(text, sizeof(text), "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
	return json_string(text);
}

static json_t *from_string(const char *text)
{
	json_t *value = json_string(text ? text : "");

	/* jansson takes nothing but UTF-8; paths need not be. */
	return value ? value : json_pack("{s:o}", "base64", json_from_bytes(text, strlen(text)));
}

static json_t *from_enum(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(type, value);

	return named ? json_string(named->name) : json_integer(value);
}

static size_t element_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		break;
	}
	return sizeof(void *);
}

static json_t *from_value(const ProtobufCFieldDescriptor *field, const void *member)
{
	const ProtobufCBinaryData *bytes = member;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)member);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)member);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return from_signed(*(const int64_t *)member);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return from_unsigned(*(const uint64_t *)member);
	case PROTOBUF_C_TYPE_FLOAT:
		return from_double(*(const float *)member);
	case PROTOBUF_C_TYPE_DOUBLE:
		return from_double(*(const double *)member);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)member);
	case PROTOBUF_C_TYPE_ENUM:
		return from_enum(field->descriptor, *(const int *)member);
	case PROTOBUF_C_TYPE_STRING:
		return from_string(*(char *const *)member);
	case PROTOBUF_C_TYPE_BYTES:
		return json_from_bytes(bytes->data, bytes->len);
	case PROTOBUF_C_TYPE_MESSAGE:
		return json_from_message(*(ProtobufCMessage *const *)member);
	}
	return json_null();
}

static json_t *from_repeated(const ProtobufCFieldDescriptor *field, const void *items, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		const char *member = (const char *)items + i * element_size(field->type);

		if (json_array_append_new(array, from_value(field, member))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* Whether the field has a value in this message. */
static bool is_set(const ProtobufCFieldDescriptor *field, const char *message)
{
	const void *member = message + field->offset;
	const void *quantifier = message + field->quantifier_offset;

	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)quantifier == field->id;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)member;
	if (field->label == PROTOBUF_C_LABEL_REQUIRED || field->label == PROTOBUF_C_LABEL_NONE)
		return true;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return *(void *const *)member && *(void *const *)member != field->default_value;
	return *(const protobuf_c_boolean *)quantifier;
}

static int add_field(json_t *object, const ProtobufCFieldDescriptor *field, const char *message)
{
	const char *member = message + field->offset;
	json_t *value;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		value = from_repeated(field, *(void *const *)member,
				      *(const size_t *)(message + field->quantifier_offset));
	else if (is_set(field, message))
		value = from_value(field, member);
	else
		return 0;
	return json_object_set_new(object, field->name, value);
}

static int add_unknown(json_t *object, const ProtobufCMessage *message)
{
	json_t *array;

	if (!message->n_unknown_fields)
		return 0;
	array = json_array();
	for (size_t i = 0; i < message->n_unknown_fields; i++)
		if (json_array_append_new(array, json_integer(message->unknown_fields[i].tag))) {
			json_decref(array);
			return -1;
		}
	return json_object_set_new(object, "unknown_fields", array);
}

json_t *json_from_message(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	json_t *object = json_object();

	for (unsigned i = 0; i < type->n_fields; i++)
		if (add_field(object, &type->fields[i], (const char *)message)) {
			json_decref(object);
			return NULL;
		}
	if (add_unknown(object, message)) {
		json_decref(object);
		return NULL;
	}
	return object;
}
