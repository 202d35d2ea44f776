/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_JSON_H
#define CL_IMAGES_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/*
 * Any message as a JSON object with the names of its .proto, by its descriptor:
 * - optional fields and members of a oneof appear only when they are set; repeated ones always, as
 *   arrays; a repeated or singular message is an object;
 * - an enum is its name, or its number when it has none;
 * - an integer whose magnitude is above 2^53 is a decimal string, since many readers of JSON keep
 *   numbers as doubles; so is a number that is not finite ("nan", "inf", "-inf");
 * - bytes are base64 (RFC 4648); a string that is not UTF-8 is {"base64": "…"};
 * - fields that this program does not know are listed under "unknown_fields" by their number.
 *
 * Returns a new reference, or NULL when there is no memory.
 */
json_t *json_from_message(const ProtobufCMessage *message);

/* Bytes in base64 as a JSON string; a new reference, or NULL when there is no memory. */
json_t *json_from_bytes(const void *data, size_t size);

#endif
