/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "images/format.h"

/* Keeps the payload on a page boundary behind its header. */
#define LEAD 4096u

static int no_memory(struct error *err, size_t size)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "image: no memory for a record of %zu bytes",
			 size);
}

int chunk_reserve(struct chunk *chunk, size_t size, struct error *err)
{
	size_t capacity = (size + LEAD - 1) / LEAD * LEAD;
	uint8_t *memory;

	if (chunk->data && size <= chunk->capacity)
		return 0;
	chunk_release(chunk);
	memory = aligned_alloc(LEAD, LEAD + capacity);
	if (!memory)
		return no_memory(err, size);
	chunk->data = memory + LEAD;
	chunk->capacity = capacity;
	return 0;
}

void chunk_release(struct chunk *chunk)
{
	if (chunk->data)
		free(chunk->data - LEAD);
	*chunk = (struct chunk){ 0 };
}

void scratch_release(struct scratch *s)
{
	chunk_release(&s->raw);
	chunk_release(&s->packed);
	ZSTD_freeCCtx(s->compressor);
	ZSTD_freeDCtx(s->decompressor);
	*s = (struct scratch){ 0 };
}

int scratch_pack(struct scratch *s, int level, size_t size, struct chunk **ret, size_t *ret_stored,
		 struct error *err)
{
	size_t stored;

	if (!s->compressor)
		s->compressor = ZSTD_createCCtx();
	if (!s->compressor)
		return no_memory(err, size);
	if (chunk_reserve(&s->packed, ZSTD_compressBound(size), err))
		return -1;
	stored = ZSTD_compressCCtx(s->compressor, s->packed.data, s->packed.capacity, s->raw.data,
				   size, level);
	if (ZSTD_isError(stored))
		return error_set(err, ERROR_FAILED, 0, "image: zstd: %s",
				 ZSTD_getErrorName(stored));
	*ret = stored < size ? &s->packed : &s->raw;
	*ret_stored = stored < size ? stored : size;
	return 0;
}

int scratch_unpack(struct scratch *s, const void *payload, size_t stored, size_t size,
		   struct error *err)
{
	if (!s->decompressor)
		s->decompressor = ZSTD_createDCtx();
	if (!s->decompressor)
		return no_memory(err, size);
	if (chunk_reserve(&s->raw, size, err))
		return -1;
	return ZSTD_decompressDCtx(s->decompressor, s->raw.data, size, payload, stored) == size;
}
