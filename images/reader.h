/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_READER_H
#define CL_IMAGES_READER_H

/* What the files of the reader share: source.c (bytes), reader.c (records, seal), handout.c
 * (workers), index.c, message.c. */

#include "base/array.h"
#include "images/codec.h"
#include "images/format.h"
#include "images/pool.h"

/* The bytes of the image from its first to its last. */
struct source {
	int fd;
	bool regular;		/* pread by offset; else front to back */
	uint64_t base;		/* of the image in the file */
	uint64_t position;	/* in the image, of the next byte to hand over */
	uint8_t *buffer;	/* holds bytes from position on */
	size_t head, tail;
	size_t step;		/* how much to read at once; 0: not more than is asked for */
};

int source_open(struct source *s, int fd, struct error *err);
void source_release(struct source *s);
/* Makes the next size bytes (at most SOURCE_BUFFER) lie at *ret, without moving on. Returns 1; 0
 * with *ret_got set when the stream ends before. */
int source_peek(struct source *s, size_t size, const uint8_t **ret, size_t *ret_got,
		struct error *err);
/* Copies out the next size bytes and moves on. Returns 1, or 0 when the stream ends before. */
int source_read(struct source *s, void *data, size_t size, struct error *err);
/* Moves on by what was peeked, or in a regular file by any size. */
void source_skip(struct source *s, uint64_t size);
/* Drops what was peeked as if it had not been there. */
void source_forget(struct source *s, size_t size);
/* Reads bytes at an offset of the image without moving; regular files only, callable by workers.
 * Returns 1, or 0 when the file ends before. */
int source_pread(const struct source *s, void *data, size_t size, uint64_t offset,
		 struct error *err);

#define SOURCE_BUFFER (64u << 10)

/* One record handed out. */
struct slot {
	struct pool_task task;
	struct stream_reader *reader;
	bool busy;		/* atomic */
	struct record record;
	struct chunk stored;	/* the payload, unless the worker reads it from the file itself */
	bulk_take take;
	void *context;
};

struct stream_reader {
	struct source source;
	struct stream_info info;
	uint32_t number;	/* of the next record */
	uint64_t digest;	/* of what was passed so far */
	struct record current;
	bool pending;		/* current's payload has not been read */
	bool ended, failed;

	const void *payload;	/* current's, unpacked, once asked for */

	bool on_connection;	/* it ends with the seal, and there may be messages */
	struct stream_control control;

	bool indexed;		/* jump over runs */
	ARRAY_OF(struct run) index;
	size_t next_run;

	struct pool pool;
	struct scratch *scratch;	/* one for each worker; 0 is the caller's */
	struct slot *slots;
	unsigned slot_count;
	unsigned handed_out;	/* since the last barrier */
	pthread_mutex_t lock;	/* of worker_error */
	struct error worker_error;
};

/* Checks the checksum of a stored payload. */
int record_verify(const struct record *record, const void *stored, struct error *err);
/* Unpacks a stored payload. The result lies in stored or in s->raw. */
int record_unpack(const struct record *record, const void *stored, struct scratch *s,
		  const void **ret, struct error *err);
/* The error of an image that ends too early. */
int record_ends(uint32_t number, uint64_t offset, struct error *err);
/* Moves an error of a worker to *err; 0 when there is none. */
int reader_worker_error(struct stream_reader *r, struct error *err);
/* Refuses when an earlier call has failed. */
int reader_check(const struct stream_reader *r, struct error *err);
/* Marks the reader failed and lets no worker run on. Returns -1. */
int reader_fail(struct stream_reader *r);

/* Reads a stored payload to the caller's scratch, or leaves it in the buffer, and checks it. */
int reader_load(struct stream_reader *r, const struct record *record, const void **ret,
		struct error *err);
/* Reads and checks the header at the current position. */
int reader_header(struct stream_reader *r, struct record *ret, uint64_t *ret_check,
		  struct error *err);

/* index.c: reads and checks the index record and the trailer. */
int index_check(struct stream_reader *r, struct error *err);
/* Jumps behind the run that starts with *record (whose check is given), filling in its run_
 * members; false when the index knows of none. */
bool index_jump(struct stream_reader *r, struct record *record, uint64_t check);

#endif
