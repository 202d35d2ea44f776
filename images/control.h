/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_CONTROL_H
#define CL_IMAGES_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

/*
 * Messages that share a connection with an image: records of kinds that no file holds
 * (migrate/PROTOCOL.md). Errors of what a peer has sent are ERROR_PEER.
 */

enum { CONTROL_FIRST = 0x300, CONTROL_LAST = 0x31f };
enum { CONTROL_HEADER_SIZE = 32 };

struct control_header {
	uint16_t kind;
	uint32_t number, size;
	uint64_t checksum;
};

/* Whether these 32 bytes say that they are the header of such a message; nothing is checked. */
bool control_is_header(const uint8_t header[CONTROL_HEADER_SIZE]);
/* A message with its header, malloc'ed; NULL without memory. */
uint8_t *control_encode(uint16_t kind, uint32_t number, const ProtobufCMessage *message,
			size_t *ret_size);
/* Checks a header but for its size, which the caller knows the limit of, and its kind. */
int control_decode(const uint8_t header[CONTROL_HEADER_SIZE], uint32_t number,
		   struct control_header *ret, struct error *err);
/* Checks and unpacks the payload of ->size bytes; the caller frees the message with
 * protobuf_c_message_free_unpacked. */
int control_unpack(const struct control_header *header, const void *payload,
		   const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret,
		   struct error *err);

#endif
