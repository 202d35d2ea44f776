/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_WRITER_H
#define CL_IMAGES_WRITER_H

/* What the files of the writer share: writer.c (messages, seal), bulk.c (workers), index.c. */

#include "base/array.h"
#include "images/codec.h"
#include "images/format.h"
#include "images/pool.h"

struct stream_writer {
	int fd;
	bool regular;		/* pwrite by offset; else front to back */
	uint64_t base;		/* of the image in the file */
	uint64_t offset;	/* where the next record goes, in the image */
	struct stream_options options;

	uint8_t *buffer;	/* small records not yet written; ends at offset */
	size_t buffered;

	uint32_t number;	/* of the next record */
	uint64_t digest;
	uint64_t unpacked;
	ARRAY_OF(struct run) index;
	bool index_overflow;	/* too many runs for an index: there will be none */
	bool sealed, failed;

	struct pool pool;
	struct scratch *scratch;	/* one for each worker */
};

/* Writes out what is gathered. */
int writer_flush(struct stream_writer *w, struct error *err);
/* Writes bytes that belong at `offset` of the image; callable by workers for a regular file. */
int writer_output(const struct stream_writer *w, const void *data, size_t size, uint64_t offset,
		  struct error *err);
/* Refuses when the writer is sealed or failed, or count more records cannot be numbered. */
int writer_check(const struct stream_writer *w, size_t count, struct error *err);
/* Puts payload (in scratch 0, raw) into the stream as one record, compressed where it pays. */
int writer_put_raw(struct stream_writer *w, uint16_t kind, uint8_t flags, size_t size,
		   struct error *err);

/* index.c: notes bulk records that lie behind each other. */
int index_note(struct stream_writer *w, const struct run *run, struct error *err);
bool index_wanted(const struct stream_writer *w);
/* Appends the index record and the trailer behind the seal. */
int index_write(struct stream_writer *w, struct error *err);

/* The payload worth trying to compress. */
#define PACK_MINIMUM 1024u

#endif
