/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_INSPECT_H
#define CL_CMD_INSPECT_H

#include <stdio.h>

#include "base/array.h"
#include "images/stream.h"
#include "kinds/kind.h"

/* An image's records with their messages; bulk records are passed over. */

/* What a record kind holds. */
struct inspect_type {
	const char *name;
	uint16_t record;
	const ProtobufCMessageDescriptor *message;
	const struct kind *kind;	/* NULL for the records of coordinators */
};

struct inspected_record {
	struct record record;
	struct inspect_type type;	/* .name NULL: not known here, or bulk */
	ProtobufCMessage *message;	/* owned; NULL for those */
};

struct inspected {
	struct stream_reader *reader;
	ARRAY_OF(struct inspected_record) records;
};

/* The type of a record, NULL when it has no message that is known; may use *room. */
const struct inspect_type *inspect_type(const struct record *record, struct inspect_type *room);
/* Reads an image; release *in also after a failure. */
int inspect_load(struct inspected *in, int fd, struct error *err);
void inspect_release(struct inspected *in);
/* For a person. */
void inspect_print(const struct inspected *in, FILE *out);

#endif
