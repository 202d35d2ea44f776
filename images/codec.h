/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_CODEC_H
#define CL_IMAGES_CODEC_H

/* What one worker owns: buffers that are used again and again, and its zstd contexts. */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A payload, page-aligned, with room for its header directly before it, so that both go out in
 * one write. */
struct chunk {
	uint8_t *data;	/* NULL until the first reserve */
	size_t capacity;
};

/* Makes room for size bytes; what was in it is lost. */
int chunk_reserve(struct chunk *chunk, size_t size, struct error *err);
void chunk_release(struct chunk *chunk);

struct scratch {
	struct chunk raw, packed;
	void *compressor, *decompressor;	/* ZSTD_CCtx, ZSTD_DCtx; made at first use */
};

void scratch_release(struct scratch *s);

/*
 * Compresses the first size bytes of s->raw into s->packed with zstd (level 0 is its default).
 * Sets *ret to the chunk to store and *ret_stored to its size: s->raw itself when compression
 * does not make it smaller.
 */
int scratch_pack(struct scratch *s, int level, size_t size, struct chunk **ret, size_t *ret_stored,
		 struct error *err);
/*
 * Unpacks a zstd payload of `stored` bytes, which must give exactly size bytes, into s->raw.
 * Returns 1, or 0 when the payload is not such, or -1 with an error for lack of memory.
 */
int scratch_unpack(struct scratch *s, const void *payload, size_t stored, size_t size,
		   struct error *err);

#endif
