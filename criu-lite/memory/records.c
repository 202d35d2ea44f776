/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/records.h"

#include <endian.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "page records are read as they lie in memory");

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERROR_IMAGE, 0, "page record: %s", what);
}

/* Counts the pages that carry data. */
static int check_ranges(const struct pages_range *ranges, size_t count, uint64_t *ret_data_pages,
			struct error *err)
{
	const uint64_t limit = UINT64_MAX - PAGE_BYTES + 1;
	uint64_t data_pages = 0, end = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct pages_range *r = &ranges[i];
		uint64_t bytes = (uint64_t)r->pages * PAGE_BYTES;

		if (!r->pages || r->address % PAGE_BYTES || bytes > limit - r->address)
			return damaged(err, "a range is not one of pages");
		if (r->address < end)
			return damaged(err, "ranges are not in order");
		if (r->flags & ~(uint32_t)PAGES_FLAGS_KNOWN)
			return damaged(err, "unknown flags");
		if (r->flags & (PAGES_DROPPED | PAGES_GUARD)) {
			if (r->flags & (r->flags - 1))
				return damaged(err, "contradicting flags");
		} else {
			data_pages += r->pages;
		}
		end = r->address + bytes;
	}
	*ret_data_pages = data_pages;
	return 0;
}

int pages_parse(const void *payload, size_t size, struct pages_view *ret, struct error *err)
{
	const struct pages_header *h = payload;
	uint64_t data_pages = 0;

	if (size < sizeof(*h))
		return damaged(err, "too short");
	if (!h->range_count || h->range_count > RANGES_PER_RECORD || h->reserved)
		return damaged(err, "wrong header");
	if (size < PAGE_BYTES)
		return damaged(err, "too short for its ranges");
	ret->space = h->space;
	ret->ranges = (const struct pages_range *)(h + 1);
	ret->range_count = h->range_count;
	ret->data = (const char *)payload + PAGE_BYTES;
	if (check_ranges(ret->ranges, ret->range_count, &data_pages, err))
		return -1;
	if (data_pages > PAGES_PER_RECORD || size - PAGE_BYTES != data_pages * PAGE_BYTES)
		return damaged(err, "data and ranges do not match");
	return 0;
}
