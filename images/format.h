/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_FORMAT_H
#define CL_IMAGES_FORMAT_H

/*
 * The bytes of an image, as docs/IMAGE.md specifies them: everything little-endian, every fixed
 * structure with a check of its own. Only the files of images/ and the tests include this.
 */

#include <endian.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "images/stream.h"

#define FORMAT_VERSION 1u

#define PREAMBLE_SIZE 32u
#define HEADER_SIZE 32u
#define SEAL_SIZE 32u
#define RUN_SIZE 48u
#define TRAILER_SIZE 32u

#define PREAMBLE_MAGIC "\x89" "CRL\r\n\x1a\n"
#define TRAILER_MAGIC "CRLINDEX"
#define MAGIC_SIZE 8u

#define RECORD_FLAGS_KNOWN (RECORD_CRITICAL | RECORD_BULK)
#define SEAL_INDEX_FOLLOWS 1u
#define INDEX_RUNS_MAX (RECORD_PAYLOAD_MAX / RUN_SIZE)

static inline uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* XXH3-64 of the bytes, the checksum that is used everywhere. */
uint64_t format_hash(const void *data, size_t size);

/* Preamble of an image of this machine. Returns its check, with which the digest starts. */
uint64_t preamble_encode(uint8_t out[PREAMBLE_SIZE]);
/* Checks everything in it; ERROR_IMAGE when the image is not for this program and machine. */
int preamble_decode(const uint8_t in[PREAMBLE_SIZE], struct stream_info *ret, uint64_t *ret_check,
		    struct error *err);

/* Encodes kind, codec, flags, number, sizes and checksum of the payload. Returns the check. */
uint64_t header_encode(uint8_t out[HEADER_SIZE], const struct record *record);
/* Decodes a header found at `offset` and checks it: its check, that its number is `number`, its
 * codec, flags and lengths. Sets record->offset to that of the payload. */
int header_decode(const uint8_t in[HEADER_SIZE], uint64_t offset, uint32_t number,
		  struct record *ret, uint64_t *ret_check, struct error *err);

struct seal {
	uint64_t count;		/* records before the seal */
	uint64_t digest;	/* sum of the checks of the preamble and of their headers */
	uint64_t offset;	/* bytes before the seal's header */
	uint64_t flags;
};

void seal_encode(uint8_t out[SEAL_SIZE], const struct seal *seal);
void seal_decode(const uint8_t in[SEAL_SIZE], struct seal *ret);

/* An index entry: bulk records of one kind that follow each other. */
struct run {
	uint64_t offset;	/* of the first header */
	uint64_t length;	/* bytes from there to behind the last payload */
	uint64_t size;		/* sum of the unpacked sizes */
	uint64_t digest;	/* sum of the headers' checks */
	uint32_t first, count;	/* record numbers */
	uint16_t kind;
	uint8_t flags;
};

void run_encode(uint8_t out[RUN_SIZE], const struct run *run);
void run_decode(const uint8_t in[RUN_SIZE], struct run *ret);

struct trailer {
	uint64_t offset;	/* of the header of the index record */
	uint64_t runs;		/* entries in it */
};

void trailer_encode(uint8_t out[TRAILER_SIZE], const struct trailer *trailer);
/* Returns -1 (without an error) unless magic and check are right. */
int trailer_decode(const uint8_t in[TRAILER_SIZE], struct trailer *ret);

/* The error of a damaged record; the number and the offset of its header come first. */
#define record_error(err, number, offset, fmt, ...)                                             \
	error_set(err, ERROR_IMAGE, 0, "image record %" PRIu32 " at offset %" PRIu64 ": " fmt, \
		  (uint32_t)(number), (uint64_t)(offset), ##__VA_ARGS__)

#endif
