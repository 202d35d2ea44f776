/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_RECORDS_H
#define CL_MEMORY_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Page data in the image. RECORD_MEMORY is a message (images/memory.proto) that lists sets of
 * pages; each set is a number of RECORD_PAGES, bulk records that follow in the order of the list.
 *
 * Payload of RECORD_PAGES, little-endian: the header, its ranges, zero bytes up to a multiple of
 * the page size, then the pages of all ranges that carry data.
 */
enum {
	RECORD_MEMORY = 32,
	RECORD_PAGES = 33,
	/* Pre-copied images: a round begins; what of the one before stays (images/round.proto). */
	RECORD_ROUND = 0x240,
	RECORD_KEPT = 0x241,
};

/* Space of the pages: a process id, or the id of an object with this bit. */
#define SPACE_OBJECT (1ull << 63)

enum page_flag {
	PAGES_HUGE = 1,		/* was backed by a huge page */
	PAGES_DROPPED = 2,	/* no data: not there, though the parent may have left some */
	PAGES_GUARD = 4,	/* no data: a guard region (MADV_GUARD_INSTALL) */
	PAGES_FLAGS_KNOWN = 7,
};

struct pages_header {
	uint64_t space;
	uint32_t range_count;
	uint32_t reserved;	/* 0 */
};

struct pages_range {
	uint64_t address;	/* in the process, or offset in the object; page-aligned */
	uint32_t pages;		/* at least 1 */
	uint32_t flags;
};

enum {
	PAGE_BYTES = 4096,
	/* Pages and ranges in one record: its payload is at most 1 MiB + 4 KiB. */
	PAGES_PER_RECORD = 256,
	RANGES_PER_RECORD = (PAGE_BYTES - sizeof(struct pages_header)) / sizeof(struct pages_range),
};

/* A payload whose every length has been checked. */
struct pages_view {
	uint64_t space;
	const struct pages_range *ranges;
	size_t range_count;
	const char *data;	/* of the first range that has some; they follow one another */
};

/*
 * Checks a payload: sizes, alignment, order (ranges ascend without overlap), flags, no address
 * overflow, exactly the data that the ranges say. ERROR_IMAGE for anything else. Whether the space
 * has such addresses is the caller's to check.
 */
int pages_parse(const void *payload, size_t size, struct pages_view *ret, struct error *err);

#endif
