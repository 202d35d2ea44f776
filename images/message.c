/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdlib.h>

#include "images/message.h"
#include "images/reader.h"

/*
 * Unpacking of foreign messages. protobuf-c checks bounds but neither limits how deep messages
 * nest (it recurses) nor what they grow to in memory: two bytes can make a structure of hundreds.
 */
#define DEPTH_MAX 32u
#define MEMORY_MAX (8u * RECORD_PAYLOAD_MAX)

struct budget {
	size_t left;
};

static void *take_memory(void *context, size_t size)
{
	struct budget *budget = context;

	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size);
}

static void give_memory(void *context, void *memory)
{
	free(memory);
}

/* Reads a varint; NULL when it does not end within the bytes. */
static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
		*ret |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			return p;
	}
	return NULL;
}

/* Where the value behind the tag ends; for a length-delimited one *ret_inner is its start. */
static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end, unsigned wire,
				 const uint8_t **ret_inner)
{
	uint64_t length;

	switch (wire) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		return read_varint(p, end, &length);
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		return end - p >= 8 ? p + 8 : NULL;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		return end - p >= 4 ? p + 4 : NULL;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		p = read_varint(p, end, &length);
		*ret_inner = p;
		return p && length <= (uint64_t)(end - p) ? p + length : NULL;
	default:
		return NULL;
	}
}

/* Whether the encoding is whole and nests at most `depth` deep. */
static bool shallow(const ProtobufCMessageDescriptor *type, const uint8_t *p, const uint8_t *end,
		    unsigned depth)
{
	if (depth == 0)
		return false;
	while (p && p < end) {
		const ProtobufCFieldDescriptor *field;
		const uint8_t *inner = NULL;
		uint64_t tag;

		p = read_varint(p, end, &tag);
		if (p)
			p = skip_value(p, end, tag & 7, &inner);
		if (!p || tag >> 3 > UINT32_MAX)
			return false;
		field = protobuf_c_message_descriptor_get_field(type, tag >> 3);
		if (inner && field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
		    !shallow(field->descriptor, inner, p, depth - 1))
			return false;
	}
	return p;
}

ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
				 size_t size)
{
	struct budget budget = { .left = MEMORY_MAX };
	ProtobufCAllocator allocator = { take_memory, give_memory, &budget };

	/* No bytes are a message, too, and may have no address. */
	if (!data)
		data = "";
	if (!shallow(type, data, (const uint8_t *)data + size, DEPTH_MAX))
		return NULL;
	return protobuf_c_message_unpack(type, &allocator, size, data);
}

static int unpack(struct stream_reader *r, const ProtobufCMessageDescriptor *type,
		  ProtobufCMessage **ret, struct error *err)
{
	struct budget budget = { .left = MEMORY_MAX };
	ProtobufCAllocator allocator = { take_memory, give_memory, &budget };
	const struct record *record = &r->current;
	uint64_t offset = record->offset - HEADER_SIZE;
	const void *data;
	size_t size;

	if (record->flags & RECORD_BULK)
		return record_error(err, record->number, offset,
				    "kind %u is bulk data where a %s message belongs", record->kind,
				    type->short_name);
	if (stream_payload(r, &data, &size, err))
		return -1;
	if (!shallow(type, data, (const uint8_t *)data + size, DEPTH_MAX))
		return record_error(err, record->number, offset,
				    "the %s message is malformed or nests too deep",
				    type->short_name);
	*ret = protobuf_c_message_unpack(type, &allocator, size, data);
	if (!*ret)
		return record_error(err, record->number, offset, "the %s message is malformed%s",
				    type->short_name, budget.left < size ? " or too large" : "");
	return 0;
}

int stream_message(struct stream_reader *r, const ProtobufCMessageDescriptor *type,
		   ProtobufCMessage **ret, struct error *err)
{
	return unpack(r, type, ret, err) ? reader_fail(r) : 0;
}
