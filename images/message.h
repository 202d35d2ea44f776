/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_MESSAGE_H
#define CL_IMAGES_MESSAGE_H

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

/* Unpacks a foreign message within the limits of docs/IMAGE.md. NULL when it is malformed, nests
 * too deep or is too large; the caller frees it with protobuf_c_message_free_unpacked. */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
				 size_t size);

#endif
