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
	uint32_t number;	/* 0 is the first record */
	uint32_t stored_size;	/* bytes in the stream */
	uint32_t size;		/* bytes once unpacked */
	uint64_t checksum;	/* of the stored payload */
	uint64_t offset;	/* of the payload in the stream */

	/* After stream_use_index() one record stands for all bulk records of a run; else 1 and the
	 * same as above. */
	uint32_t run_count;
	uint64_t run_stored, run_size;
};

/* ---- writing ---- */

struct stream_writer;

struct stream_options {
	enum record_codec codec;	/* of bulk records and of messages worth it */
	int level;			/* zstd level, 0 = default */
	int jobs;			/* worker threads for bulk records, at least 1 */
};

/*
 * Starts an image on fd (which stays the caller's) with the preamble. In a regular file without
 * O_APPEND the image starts at the file offset, where the file must end, and bulk records are
 * written with pwrite(2) by several threads; the file offset stays and moves behind the image with
 * the seal. Everything else is written front to back. Small records are gathered: bytes are only
 * sure to be out after the seal. SIGPIPE is the caller's to ignore. A write that fails is
 * ERROR_FAILED with its errno, and everything after it fails too.
 */
int stream_writer_open(struct stream_writer **ret, int fd, const struct stream_options *options,
		       struct error *err);
/* Appends one message. kind is neither RECORD_SEAL nor RECORD_INDEX. */
int stream_write(struct stream_writer *w, uint16_t kind, uint8_t flags,
		 const ProtobufCMessage *message, struct error *err);
/* Appends an already packed message. */
int stream_write_packed(struct stream_writer *w, uint16_t kind, uint8_t flags, const void *data,
			size_t size, struct error *err);

/*
 * Appends `count` bulk records, produced, compressed and written by the workers in parallel, in
 * the stream in the order 0 … count-1. size() tells how large payload i will be (at most
 * RECORD_PAYLOAD_MAX), fill() makes exactly that many bytes at `data` (page-aligned); both are
 * called from worker threads and from the calling one, fill() concurrently for different i. The
 * first error ends it. Nothing of it runs any more when this returns. Payloads of 256 KiB to 1 MiB
 * stay in the cache of the processor and are fastest.
 */
struct bulk_source {
	size_t count;
	uint16_t kind;
	uint8_t flags;	/* RECORD_BULK is added */
	uint32_t (*size)(void *context, size_t i);
	int (*fill)(void *context, size_t i, void *data, struct error *err);
	void *context;
};
int stream_write_bulk(struct stream_writer *w, const struct bulk_source *source, struct error *err);

/* Sees to it that all that was appended so far is out. */
int stream_writer_flush(struct stream_writer *w, struct error *err);
/* Writes the seal; with an index when fd is a regular file; fsyncs it. Nothing can follow. */
int stream_writer_seal(struct stream_writer *w, struct error *err);
/* Bytes of payload taken in and bytes written so far. */
void stream_writer_sizes(const struct stream_writer *w, uint64_t *ret_unpacked,
			 uint64_t *ret_stored);
/* Takes back all that was written, so that another image can begin there: possible in a regular
 * file, and in a pipe as long as nothing has left our buffer. The writer is of no use any more but
 * to be freed. */
bool stream_writer_undo(struct stream_writer *w);
/* Ends the workers and frees; without a seal the image stays visibly incomplete. NULL-safe. */
void stream_writer_free(struct stream_writer *w);

/* ---- reading ---- */

struct stream_reader;

struct stream_info {
	uint32_t version, page_size;
	uint16_t machine;		/* ELF e_machine */
	const char *architecture;	/* its name, static */
};

/*
 * Opens an image on fd (which stays the caller's; file, pipe or socket) and checks the preamble. In
 * a regular file the image starts at the file offset, which is left alone, and ends with the file;
 * elsewhere it ends with the stream, to which the reader reads. An image of another format version,
 * architecture or page size is refused.
 */
int stream_reader_open(struct stream_reader **ret, int fd, int jobs, struct error *err);
/*
 * The same for an image on a connection that carries other things, too: reads no byte behind the
 * seal, with which the image ends. Where the header of a message stands in place of a record's
 * (images/control.h), take() gets the header and reads the payload from fd itself; the image
 * goes on when it returns 0.
 */
struct stream_control {
	int (*take)(void *context, const uint8_t header[32], struct error *err);
	void *context;
};
int stream_reader_open_connection(struct stream_reader **ret, int fd, int jobs,
				  const struct stream_control *control, struct error *err);
const struct stream_info *stream_reader_info(const struct stream_reader *r);
/*
 * Reads the next header; a payload that nobody asked for is read over and checked all the same.
 * Returns 1, -1 on error, and 0 at the end: then every byte of the image has been checked (also
 * what was handed out), seal and index included, and nothing follows. Every image that ends before
 * its seal is an ERROR_IMAGE. A header is only returned when its own checksum is right. Kinds are
 * not judged here: a caller that does not know one refuses the image if it has RECORD_CRITICAL.
 */
int stream_next(struct stream_reader *r, struct record *ret, struct error *err);
/*
 * For those who only look: makes stream_next() jump over bulk records by the index of the file,
 * returning one record for each run of them, whose payloads stay unread and unchecked. All else is
 * checked as usual. Call it before the first stream_next(). Returns 1, or 0 when there is no index
 * (not a file, or no bulk records) and all records will be walked.
 */
int stream_use_index(struct stream_reader *r, struct error *err);
/* Payload of the record that stream_next returned, checked and unpacked; owned by the reader and
 * valid until the next call. That of a bulk record is page-aligned. */
int stream_payload(struct stream_reader *r, const void **ret, size_t *ret_size, struct error *err);
/* The same as a message of this type; the caller frees it with protobuf_c_message_free_unpacked.
 * Unknown fields are fine, missing required ones and wrong encodings are ERROR_IMAGE, and so is a
 * message that nests deeper or takes more memory than docs/IMAGE.md allows. */
int stream_message(struct stream_reader *r, const ProtobufCMessageDescriptor *type,
		   ProtobufCMessage **ret, struct error *err);
/*
 * Hands the current (bulk) record to a worker, which reads (from a file), checks and unpacks it and
 * calls take(context, payload, size) from its own thread, or from the calling one within any call
 * of this reader; the reader goes on at once. take may be NULL: then it is only checked.
 * stream_barrier() waits for all that were handed out and reports the first error; stream_next()
 * and stream_hand_out() may report it earlier. When a call of this reader has failed, nothing runs
 * any more and what was queued is dropped, so that contexts may go away.
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
