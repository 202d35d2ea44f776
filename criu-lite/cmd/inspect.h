/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_INSPECT_H
#define CL_CMD_INSPECT_H

#include "base/array.h"
#include "images/image.pb-c.h"
#include "images/stream.h"
#include "images/tree.pb-c.h"
#include "kinds/kind.h"

/* What inspect has read of an image. */

struct inspect_message {
	const struct kind *kind;
	ProtobufCMessage *message;
};

/* Pages of a process or object. */
struct inspect_pages {
	uint64_t space;		/* as in memory/records.h */
	uint64_t pages;
};

/* A way to find things: sorted by space, then key; equal ones in the order of the image. */
struct inspect_key {
	uint64_t space, key;
	size_t order;
	const void *item;
};

struct inspected {
	Image *image;
	Tree *tree;
	/* Of the kinds, in the order of the image. */
	ARRAY_OF(struct inspect_message) messages;
	ARRAY_OF(struct inspect_pages) pages;
	uint64_t records, stored, unpacked;	/* of everything; bytes */
	ARRAY_OF(struct inspect_key) index;	/* made by inspect_print() */
};

/* Name and message of a record kind; NULL for an unknown one, and for bulk records no message. */
const char *inspect_record_name(uint16_t kind);
const ProtobufCMessageDescriptor *inspect_record_message(uint16_t kind);

/* Prints it for a person; with every area of memory when maps. */
int inspect_print(struct inspected *all, const char *name, bool maps, struct error *err);
/* Prints every record as JSON while it is read. */
int inspect_json(struct stream_reader *r, struct error *err);

#endif
