/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/kind.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

const struct kind *kind_by_record(uint16_t record)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++)
		if ((*row)->record == record)
			return *row;
	return NULL;
}

size_t kind_index(const struct kind *kind)
{
	size_t i = 0;

	while (kinds_table[i] && kinds_table[i] != kind)
		i++;
	return i;
}

size_t kinds_count(void)
{
	return kind_index(NULL);
}

uint32_t kind_message_id(const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(message->descriptor, 1);

	if (!field || field->type != PROTOBUF_C_TYPE_UINT32 ||
	    field->label != PROTOBUF_C_LABEL_REQUIRED)
		return 0;
	return *(const uint32_t *)((const char *)message + field->offset);
}

bool kind_messages_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t size = protobuf_c_message_get_packed_size(a);
	_cleanup_free_ uint8_t *x = malloc(size + 1), *y = malloc(size + 1);

	if (!x || !y || protobuf_c_message_get_packed_size(b) != size)
		return false;
	protobuf_c_message_pack(a, x);
	protobuf_c_message_pack(b, y);
	return !memcmp(x, y, size);
}
