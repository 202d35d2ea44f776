/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_DESCRIBE_H
#define CL_IMAGES_DESCRIBE_H

#include <protobuf-c/protobuf-c.h>

#include "base/io.h"

/*
 * What a message says, in one line for a person, by its descriptor: paths and names first, then
 * the other fields that are set, "capacity 65536, packets, 3 data". Field 1 (the id), messages
 * below that are not names or addresses, and fields named in `without` (ended by NULL) are left
 * out; "mode" is octal. Whatever is not printable is shown as \xNN. Appends to *out. 0, or -1
 * without memory.
 */
int message_describe(const ProtobufCMessage *message, const char *const *without,
		     struct buffer *out);

#endif
