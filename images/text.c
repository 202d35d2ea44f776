/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	SHOWN_ITEMS = 8,	/* of a list */
	SHOWN_BYTES = 120,
};

static void print_bytes(FILE *out, const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < size && i <= SHOWN_BYTES; i++)
		if (!isprint(data[i]) && !(i == 0 && !data[i]))
			break;
	if (i < size || !size) {
		fprintf(out, "<%zu bytes>", size);
		return;
	}
	/* Abstract socket names begin with a zero byte. */
	fprintf(out, "%s%.*s", data[0] ? "" : "@", (int)(size - !data[0]), data + !data[0]);
}

static void print_enum(FILE *out, const ProtobufCFieldDescriptor *field, int value)
{
	const ProtobufCEnumValue *known =
		protobuf_c_enum_descriptor_get_value(field->descriptor, value);

	if (known)
		fprintf(out, "%s", known->name);
	else
		fprintf(out, "%d", value);
}

/* Returns the size of the value in its structure. */
static size_t print_value(FILE *out, const ProtobufCFieldDescriptor *field, const void *value)
{
	const ProtobufCBinaryData *bytes = value;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		fprintf(out, "%" PRId32, *(const int32_t *)value);
		return sizeof(int32_t);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		fprintf(out, "%" PRIu32, *(const uint32_t *)value);
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		fprintf(out, "%" PRId64, *(const int64_t *)value);
		return sizeof(int64_t);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		fprintf(out, "%" PRIu64, *(const uint64_t *)value);
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_FLOAT:
		fprintf(out, "%g", *(const float *)value);
		return sizeof(float);
	case PROTOBUF_C_TYPE_DOUBLE:
		fprintf(out, "%g", *(const double *)value);
		return sizeof(double);
	case PROTOBUF_C_TYPE_BOOL:
		fprintf(out, "%s", *(const protobuf_c_boolean *)value ? "yes" : "no");
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
		print_enum(out, field, *(const int *)value);
		return sizeof(int);
	case PROTOBUF_C_TYPE_STRING:
		fprintf(out, "%s", *(const char *const *)value);
		return sizeof(char *);
	case PROTOBUF_C_TYPE_BYTES:
		print_bytes(out, bytes->data, bytes->len);
		return sizeof(*bytes);
	case PROTOBUF_C_TYPE_MESSAGE:
		fprintf(out, "{");
		text_print_message(out, *(const ProtobufCMessage *const *)value, 0);
		fprintf(out, " }");
		return sizeof(ProtobufCMessage *);
	}
	return 0;
}

static void print_list(FILE *out, const ProtobufCFieldDescriptor *field, const char *items,
		       size_t count)
{
	size_t i;

	fprintf(out, " %s=[", field->name);
	for (i = 0; i < count && i < SHOWN_ITEMS; i++) {
		fprintf(out, "%s", i ? " " : "");
		items += print_value(out, field, items);
	}
	fprintf(out, count > SHOWN_ITEMS ? " … %zu in all]" : "]", count);
}

/* Whether an optional field says anything. */
static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;

	if (field->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const void *value = *(const void *const *)(base + field->offset);

		return value && value != field->default_value;
	}
	if (field->type == PROTOBUF_C_TYPE_BOOL &&
	    !*(const protobuf_c_boolean *)(base + field->offset))
		return false;
	return *(const protobuf_c_boolean *)(base + field->quantifier_offset);
}

void text_print_message(FILE *out, const ProtobufCMessage *message, unsigned int skip)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	unsigned int i;

	for (i = skip; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const char *value = (const char *)message + field->offset;

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t count = *(const size_t *)((const char *)message +
							 field->quantifier_offset);

			if (count)
				print_list(out, field, *(const char *const *)value, count);
			continue;
		}
		if (!is_set(message, field))
			continue;
		fprintf(out, " %s=", field->name);
		print_value(out, field, value);
	}
}
