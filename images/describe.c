/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/describe.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 200, IPV4 = 4, IPV6 = 16 };

__attribute__((format(printf, 2, 3))) static int add(struct buffer *out, const char *fmt, ...)
{
	char text[128];
	va_list args;
	int size;

	va_start(args, fmt);
	size = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return buffer_append(out, text, size < (int)sizeof(text) ? size : (int)sizeof(text) - 1);
}

/* Foreign bytes; an abstract name begins with a zero, which is shown as @. */
static int add_text(struct buffer *out, const void *data, size_t size)
{
	const unsigned char *at = data;

	for (size_t i = 0; i < size && i < TEXT_MAX; i++) {
		bool plain = isprint(at[i]) || at[i] >= 0x80;

		if (i == 0 && !at[i] ? add(out, "@") :
		    plain ? buffer_append(out, &at[i], 1) : add(out, "\\x%02x", at[i]))
			return -1;
	}
	return size > TEXT_MAX ? add(out, "…") : 0;
}

static const void *value_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return (const char *)m + f->offset;
}

static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const void *value = value_at(m, f);

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)((const char *)m + f->quantifier_offset);
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)value;
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
	    !*(const protobuf_c_boolean *)((const char *)m + f->quantifier_offset))
		return false;
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return *(const protobuf_c_boolean *)value;
	return f->type != PROTOBUF_C_TYPE_BYTES || ((const ProtobufCBinaryData *)value)->len;
}

/* What identifies a thing to a person. */
static bool is_name(const ProtobufCFieldDescriptor *f)
{
	static const char *const names[] = { "path", "name", "was", "address", "state" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return false;
}

static const ProtobufCFieldDescriptor *field_named(const ProtobufCMessage *m, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
}

/* An Internet address and port, or the name of a socket; other messages are too much. */
static int add_message(struct buffer *out, const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *address = field_named(m, "address");
	const ProtobufCFieldDescriptor *port = field_named(m, "port");
	const ProtobufCBinaryData *bytes;
	char text[INET6_ADDRSTRLEN];

	if (!address || address->type != PROTOBUF_C_TYPE_BYTES)
		return add(out, "…");
	bytes = value_at(m, address);
	if (!port)
		return add_text(out, bytes->data, bytes->len);
	if (bytes->len != IPV4 && bytes->len != IPV6)
		return add(out, "?");
	inet_ntop(bytes->len == IPV4 ? AF_INET : AF_INET6, bytes->data, text, sizeof(text));
	return add(out, bytes->len == IPV4 ? "%s:%" PRIu32 : "[%s]:%" PRIu32, text,
		   *(const uint32_t *)value_at(m, port));
}

static int add_enum(struct buffer *out, const ProtobufCFieldDescriptor *f, int value)
{
	const ProtobufCEnumValue *known =
		protobuf_c_enum_descriptor_get_value(f->descriptor, value);
	const char *at;

	if (!known)
		return add(out, "%d", value);
	for (at = known->name; *at; at++)
		if (add(out, "%c", *at == '_' ? ' ' : tolower((unsigned char)*at)))
			return -1;
	return 0;
}

static int add_number(struct buffer *out, const ProtobufCFieldDescriptor *f, const void *value)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return add(out, "%" PRId32, *(const int32_t *)value);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return add(out, strcmp(f->name, "mode") ? "%" PRIu32 : "%#" PRIo32,
			   *(const uint32_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return add(out, "%" PRId64, *(const int64_t *)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return add(out, "%" PRIu64, *(const uint64_t *)value);
	default:
		return add(out, "…");
	}
}

/* "slave_closed" → "slave closed" */
static int add_label(struct buffer *out, const ProtobufCFieldDescriptor *f)
{
	for (const char *at = f->name; *at; at++)
		if (add(out, "%c", *at == '_' ? ' ' : *at))
			return -1;
	return 0;
}

static int add_field(struct buffer *out, const ProtobufCMessage *m,
		     const ProtobufCFieldDescriptor *f)
{
	const void *value = value_at(m, f);
	const ProtobufCBinaryData *bytes = value;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return add(out, "%zu ", *(const size_t *)((const char *)m + f->quantifier_offset)) ||
		       add_label(out, f);
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return add_label(out, f);
	case PROTOBUF_C_TYPE_ENUM:
		return add_enum(out, f, *(const int *)value);
	case PROTOBUF_C_TYPE_STRING:
		return add_text(out, *(char *const *)value, strlen(*(char *const *)value));
	case PROTOBUF_C_TYPE_BYTES:
		return is_name(f) ? add_text(out, bytes->data, bytes->len) :
				    add(out, "%zu bytes of ", bytes->len) || add_label(out, f);
	case PROTOBUF_C_TYPE_MESSAGE:
		return (is_name(f) ? 0 : add_label(out, f) || add(out, " ")) ||
		       add_message(out, *(ProtobufCMessage *const *)value);
	default:
		return add_label(out, f) || add(out, " ") || add_number(out, f, value);
	}
}

static bool is_wanted(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		      const char *const *without)
{
	if (f->id == 1 || !is_set(m, f))
		return false;
	for (; without && *without; without++)
		if (!strcmp(f->name, *without))
			return false;
	if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED)
		return true;
	return field_named(*(ProtobufCMessage *const *)value_at(m, f), "address");
}

int message_describe(const ProtobufCMessage *m, const char *const *without, struct buffer *out)
{
	size_t start = out->size;

	/* Names first. */
	for (int names = 1; names >= 0; names--)
		for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
			const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

			if (is_name(f) != (names == 1) || !is_wanted(m, f, without))
				continue;
			if ((out->size > start && add(out, ", ")) || add_field(out, m, f))
				return -1;
		}
	return 0;
}
