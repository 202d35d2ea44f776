/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_PAGEMAP_H
#define CL_MEMORY_PAGEMAP_H

#include <stdbool.h>

#include "base/array.h"
#include "memory/records.h"

/*
 * Which pages of a process hold something of its own: the PAGEMAP_SCAN ioctl of Linux 6.7
 * (Documentation/admin-guide/mm/pagemap.rst), or where it is missing reading /proc/PID/pagemap.
 */
struct pagemap {
	int fd;
	bool has_scan;
	bool has_guard;		/* the scan knows guard regions */
};

/* Ranges of pages, ascending. */
struct page_runs {
	ARRAY_OF(struct pages_range) runs;
	uint64_t data_pages;	/* in those that carry data */
	size_t closed;		/* so many of the runs do not grow any more */
};

static inline void page_runs_release(struct page_runs *r)
{
	array_release(&r->runs);
	r->data_pages = r->closed = 0;
}
#define _cleanup_runs_ __attribute__((cleanup(page_runs_release)))

/* Appends pages; they grow the last run if they continue it. -1 without memory. */
int page_runs_add(struct page_runs *r, uint64_t address, uint64_t pages, uint32_t flags);

/* proc_fd is an open /proc/PID. The caller closes .fd. ERROR_DIED when the process is gone. */
int pagemap_open(struct pagemap *ret, int proc_fd, struct error *err);
/* The same for pagemap_read() only. */
int pagemap_open_plain(struct pagemap *ret, int proc_fd, struct error *err);

/*
 * Appends the pages in [start, end) that are the process's own: private pages that are not just
 * the zero page or a clean page of a file. Huge pages are marked; where has_huge says that there
 * are some, and the kernel not which, blocks of their size are taken for them. Guard regions have
 * PAGES_GUARD. No run reaches beyond the range.
 */
int pagemap_own_pages(const struct pagemap *pm, uint64_t start, uint64_t end, bool has_huge,
		      struct page_runs *ret, struct error *err);

/* Appends guard regions alone: of shared areas, whose pages belong to an object. */
int pagemap_guards(const struct pagemap *pm, uint64_t start, uint64_t end, struct page_runs *ret,
		   struct error *err);

/* The raw entries of `count` pages from `address` on. */
int pagemap_read(const struct pagemap *pm, uint64_t address, size_t count, uint64_t *ret,
		 struct error *err);

/* Bits of an entry. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61)	/* of a file, or shared anonymous */
#define PAGEMAP_GUARD (1ull << 58)
#define PAGEMAP_EXCLUSIVE (1ull << 56)	/* mapped once */
#define PAGEMAP_FRAME ((1ull << 55) - 1)	/* page frame number; 0 without CAP_SYS_ADMIN */

#endif
