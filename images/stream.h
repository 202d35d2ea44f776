/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_STREAM_H
#define CL_IMAGES_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

/*
 * The image: one sequence of records, written front to back in the order in which a restore needs
 * them. A file, a pipe and a connection hold the same bytes (docs/IMAGE.md). A file may end in an
 * index behind the seal.
 *
 * A record is a fixed header and a payload: a protobuf message, or bulk bytes with a fixed prefix
 * (page data). What the record kinds mean is not known here.
 */

enum record_flag {
	RECORD_CRITICAL = 1,	/* a reader that does not know the kind must refuse the image */
	RECORD_BULK = 2,	/* payload is not a protobuf message */
};

enum record_codec { CODEC_RAW = 0, CODEC_ZSTD = 1 };

/* Kinds that the stream itself owns; the others belong to the rows of kinds/table.c and memory/. */
enum record_kind_reserved {
	RECORD_SEAL = 1,	/* count and digest of everything before it */
	RECORD_INDEX = 2,	/* offsets of the records, behind the seal, files only */
	RECORD_HEADER = 3,	/* image.proto Image: first record */
	RECORD_FIRST_FREE = 16,
};

/* No payload, compressed or not, is longer; readers refuse more before they take memory. */
#define RECORD_PAYLOAD_MAX (16u << 20)

struct record {
	uint16_t kind;
	uint8_t codec, flags;
	uint32_t stored_size;	/* bytes in the stream */
	uint32_t size;		/* bytes once unpacked */
	uint64_t checksum;
	uint64_t offset;	/* of the payload in the stream */
};

/* ---- writing ---- */

struct stream_writer;

struct stream_options {
	enum record_codec codec;	/* of bulk records and of messages worth it */
	int level;			/* zstd level, 0 = default */
	int jobs;			/* worker threads for bulk records, at least 1 */
};

/* Starts an image on fd (which stays the caller's): writes the preamble. */
int stream_writer_open(struct stream_writer **ret, int fd, const struct stream_options *options,
		       struct error *err);
/* Appends one message. */
int stream_write(struct stream_writer *w, uint16_t kind, uint8_t flags,
		 const ProtobufCMessage *message, struct error *err);
/* Appends an already packed message. */
int stream_write_packed(struct stream_writer *w, uint16_t kind, uint8_t flags, const void *data,
			size_t size, struct error *err);

/*
 * Appends `count` bulk records, produced, compressed and written by the workers in parallel, in
 * the stream in the order 0 … count-1. size() tells how large payload i will be (at most
 * RECORD_PAYLOAD_MAX), fill() makes exactly that many bytes at `data`; both are called from
 * worker threads, concurrently for different i. The first error ends it.
 */
struct bulk_source {
	size_t count;
	uint16_t kind;
	uint32_t (*size)(void *context, size_t i);
	int (*fill)(void *context, size_t i, void *data, struct error *err);
	void *context;
};
int stream_write_bulk(struct stream_writer *w, const struct bulk_source *source, struct error *err);

/* Writes the seal; with an index when fd is a regular file; fsyncs it. Nothing can follow. */
int stream_writer_seal(struct stream_writer *w, struct error *err);
/* Bytes of payload taken in and bytes written so far. */
void stream_writer_sizes(const struct stream_writer *w, uint64_t *ret_unpacked, uint64_t *ret_stored);
/* Ends the workers and frees; without a seal the image stays visibly incomplete. NULL-safe. */
void stream_writer_free(struct stream_writer *w);

/* ---- reading ---- */

struct stream_reader;

/* Opens an image on fd (which stays the caller's; file, pipe or socket) and checks the preamble. */
int stream_reader_open(struct stream_reader **ret, int fd, int jobs, struct error *err);
/* Reads the next header, skipping what is left of the previous record. Returns 1, 0 after the
 * verified seal, -1 on error. Every image that ends before its seal is an ERROR_IMAGE. */
int stream_next(struct stream_reader *r, struct record *ret, struct error *err);
/* Payload of the record that stream_next returned, checked and unpacked; owned by the reader and
 * valid until the next call. */
int stream_payload(struct stream_reader *r, const void **ret, size_t *ret_size, struct error *err);
/* The same as a message of this type; the caller frees it with protobuf_c_message_free_unpacked.
 * Unknown fields are fine, missing required ones and wrong encodings are ERROR_IMAGE. */
int stream_message(struct stream_reader *r, const ProtobufCMessageDescriptor *type,
		   ProtobufCMessage **ret, struct error *err);
/*
 * Hands the current (bulk) record to a worker, which checks and unpacks it and calls
 * take(context, payload, size) from its own thread; the reader goes on at once. stream_barrier()
 * waits for all that were handed out and reports the first error.
 */
typedef int (*bulk_take)(void *context, const void *payload, size_t size, struct error *err);
int stream_hand_out(struct stream_reader *r, bulk_take take, void *context, struct error *err);
int stream_barrier(struct stream_reader *r, struct error *err);
void stream_reader_free(struct stream_reader *r);

#define _cleanup_writer_ __attribute__((cleanup(stream_writer_freep)))
#define _cleanup_reader_ __attribute__((cleanup(stream_reader_freep)))
static inline void stream_writer_freep(struct stream_writer **w)
{
	stream_writer_free(*w);
}
static inline void stream_reader_freep(struct stream_reader **r)
{
	stream_reader_free(*r);
}

#endif
