/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/control.h"

#include <errno.h>
#include <stdlib.h>

#include "images/format.h"
#include "images/message.h"

_Static_assert(CONTROL_HEADER_SIZE == HEADER_SIZE, "one framing for all");

enum { AT_NUMBER = 16, AT_KIND = 20, AT_CODEC = 22, AT_FLAGS = 23, AT_STORED = 24, AT_SIZE = 28 };

bool control_is_header(const uint8_t header[CONTROL_HEADER_SIZE])
{
	uint16_t kind = get16(header + AT_KIND);

	return kind >= CONTROL_FIRST && kind <= CONTROL_LAST;
}

uint8_t *control_encode(uint16_t kind, uint32_t number, const ProtobufCMessage *message,
			size_t *ret_size)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	struct record record = {
		.kind = kind,
		.flags = RECORD_CRITICAL,
		.number = number,
		.stored_size = size,
		.size = size,
	};
	uint8_t *bytes = size > RECORD_PAYLOAD_MAX ? NULL : malloc(HEADER_SIZE + size);

	if (!bytes)
		return NULL;
	protobuf_c_message_pack(message, bytes + HEADER_SIZE);
	record.checksum = format_hash(bytes + HEADER_SIZE, size);
	header_encode(bytes, &record);
	*ret_size = HEADER_SIZE + size;
	return bytes;
}

int control_decode(const uint8_t header[CONTROL_HEADER_SIZE], uint32_t number,
		   struct control_header *ret, struct error *err)
{
	if (get64(header) != format_hash(header + 8, HEADER_SIZE - 8))
		return error_set(err, ERROR_PEER, 0, "what the peer sends is no message of criu-lite");
	if (!control_is_header(header))
		return error_set(err, ERROR_PEER, 0,
				 "the peer sends a record of kind %u where a message belongs",
				 get16(header + AT_KIND));
	*ret = (struct control_header){
		.kind = get16(header + AT_KIND),
		.number = get32(header + AT_NUMBER),
		.size = get32(header + AT_SIZE),
		.checksum = get64(header + 8),
	};
	if (ret->number != number)
		return error_set(err, ERROR_PEER, 0, "the peer's message %u is number %u", number,
				 ret->number);
	if (header[AT_CODEC] != CODEC_RAW || header[AT_FLAGS] != RECORD_CRITICAL ||
	    get32(header + AT_STORED) != ret->size)
		return error_set(err, ERROR_PEER, 0, "the peer's message %u has a wrong form",
				 number);
	return 0;
}

int control_unpack(const struct control_header *header, const void *payload,
		   const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret,
		   struct error *err)
{
	if (format_hash(payload, header->size) != header->checksum)
		return error_set(err, ERROR_PEER, 0, "the peer's message %u is damaged",
				 header->number);
	*ret = message_unpack(type, payload, header->size);
	if (!*ret)
		return error_set(err, ERROR_PEER, 0, "the peer's %s message is malformed",
				 type->short_name);
	return 0;
}
