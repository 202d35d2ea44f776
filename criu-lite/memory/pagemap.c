/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/io.h"
#include "kernel-compat/features.h"
#include "kernel-compat/uapi.h"

enum {
	REGIONS_AT_ONCE = 512,
	ENTRIES_AT_ONCE = 2048,
	RUN_PAGES_MAX = 1 << 30,
	HUGE_BYTES = 2 << 20,
	HUGE_PAGES = HUGE_BYTES / PAGE_BYTES,
};

int page_runs_add(struct page_runs *r, uint64_t address, uint64_t pages, uint32_t flags)
{
	struct pages_range *last =
		r->runs.count > r->closed ? &r->runs.items[r->runs.count - 1] : NULL;

	if (!(flags & (PAGES_DROPPED | PAGES_GUARD)))
		r->data_pages += pages;
	if (last && last->flags == flags && last->pages + pages <= RUN_PAGES_MAX &&
	    last->address + (uint64_t)last->pages * PAGE_BYTES == address) {
		last->pages += pages;
		return 0;
	}
	while (pages) {
		uint64_t part = pages < RUN_PAGES_MAX ? pages : RUN_PAGES_MAX;

		last = array_add(&r->runs);
		if (!last)
			return -1;
		*last = (struct pages_range){ address, part, flags };
		address += part * PAGE_BYTES;
		pages -= part;
	}
	return 0;
}

/* Whether the scan exists, and with guard regions: asked of an empty range. */
static bool scan_works(int fd, uint64_t categories)
{
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.vec = (uint64_t)&region,
		.vec_len = 1,
		.category_mask = categories,
		.return_mask = categories,
	};

	return ioctl(fd, PAGEMAP_SCAN, &scan) >= 0;
}

int pagemap_open_plain(struct pagemap *ret, int proc_fd, struct error *err)
{
	*ret = (struct pagemap){ 0 };
	ret->fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (ret->fd < 0)
		return error_set(err, errno == ENOENT || errno == ESRCH ? ERROR_DIED : ERROR_TARGET,
				 errno, "cannot open pagemap");
	return 0;
}

int pagemap_open(struct pagemap *ret, int proc_fd, struct error *err)
{
	if (pagemap_open_plain(ret, proc_fd, err))
		return -1;
	if (feature_hidden("pagemap-scan"))
		return 0;
	ret->has_guard = scan_works(ret->fd, PAGE_IS_GUARD);
	ret->has_scan = ret->has_guard || scan_works(ret->fd, PAGE_IS_PRESENT);
	return 0;
}

int pagemap_read(const struct pagemap *pm, uint64_t address, size_t count, uint64_t *ret,
		 struct error *err)
{
	size_t bytes = count * sizeof(*ret);

	if (pread_full(pm->fd, ret, bytes, address / PAGE_BYTES * sizeof(*ret)) == (ssize_t)bytes)
		return 0;
	return error_set(err, ERROR_TARGET, errno, "cannot read pagemap at %#llx",
			 (unsigned long long)address);
}

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "page runs");
}

static bool is_own(uint64_t entry)
{
	return entry & PAGEMAP_GUARD ||
	       (entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED) && !(entry & PAGEMAP_FILE));
}

/* Whether a block of the size of a huge page, which begins here, is full. */
static bool fills_huge(const uint64_t *entries, size_t left, uint64_t address)
{
	size_t i;

	if (address % HUGE_BYTES || left < HUGE_PAGES)
		return false;
	for (i = 0; i < HUGE_PAGES; i++)
		if (!is_own(entries[i]) || entries[i] & PAGEMAP_GUARD)
			return false;
	return true;
}

/* The slow way: every entry is looked at. The zero page cannot be told from others. */
static int read_own_pages(const struct pagemap *pm, uint64_t start, uint64_t end, bool has_huge,
			  struct page_runs *ret, struct error *err)
{
	uint64_t entries[ENTRIES_AT_ONCE], at = start;

	while (at < end) {
		/* Blocks of huge pages stay whole. */
		size_t count = ENTRIES_AT_ONCE - at / PAGE_BYTES % ENTRIES_AT_ONCE, i;

		if (count > (end - at) / PAGE_BYTES)
			count = (end - at) / PAGE_BYTES;
		if (pagemap_read(pm, at, count, entries, err))
			return -1;
		for (i = 0; i < count;) {
			uint64_t address = at + i * PAGE_BYTES, pages = 1;
			uint32_t flags = entries[i] & PAGEMAP_GUARD ? PAGES_GUARD : 0;

			if (has_huge && fills_huge(entries + i, count - i, address)) {
				pages = HUGE_PAGES;
				flags = PAGES_HUGE;
			}
			if (is_own(entries[i]) && page_runs_add(ret, address, pages, flags))
				return no_memory(err);
			i += pages;
		}
		at += count * (uint64_t)PAGE_BYTES;
	}
	return 0;
}

static int add_region(const struct pagemap *pm, const struct page_region *region,
		      struct page_runs *ret, struct error *err)
{
	uint64_t pages = (region->end - region->start) / PAGE_BYTES;
	uint32_t flags = 0;

	/* Guard regions look like swapped pages. */
	if (region->categories & PAGE_IS_SWAPPED) {
		if (!pm->has_guard)
			return read_own_pages(pm, region->start, region->end, false, ret, err);
		if (region->categories & PAGE_IS_GUARD)
			flags = PAGES_GUARD;
	} else if (region->categories & PAGE_IS_HUGE) {
		flags = PAGES_HUGE;
	}
	return page_runs_add(ret, region->start, pages, flags) ? no_memory(err) : 0;
}

static int scan_pages(const struct pagemap *pm, struct pm_scan_arg *scan, struct page_runs *ret,
		      struct error *err)
{
	struct page_region regions[REGIONS_AT_ONCE];
	int count, i;

	scan->size = sizeof(*scan);
	scan->vec = (uint64_t)regions;
	scan->vec_len = REGIONS_AT_ONCE;
	scan->return_mask = PAGE_IS_SWAPPED | PAGE_IS_HUGE | (pm->has_guard ? PAGE_IS_GUARD : 0);
	while (scan->start < scan->end) {
		count = ioctl(pm->fd, PAGEMAP_SCAN, scan);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_set(err, ERROR_TARGET, errno, "cannot scan pages at %#llx",
					 (unsigned long long)scan->start);
		for (i = 0; i < count; i++)
			if (add_region(pm, &regions[i], ret, err))
				return -1;
		if (scan->walk_end <= scan->start)
			break;
		scan->start = scan->walk_end;
	}
	return 0;
}

int pagemap_own_pages(const struct pagemap *pm, uint64_t start, uint64_t end, bool has_huge,
		      struct page_runs *ret, struct error *err)
{
	struct pm_scan_arg scan = {
		.start = start,
		.end = end,
		.category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};

	ret->closed = ret->runs.count;
	if (!pm->has_scan)
		return read_own_pages(pm, start, end, has_huge, ret, err);
	return scan_pages(pm, &scan, ret, err);
}

int pagemap_guards(const struct pagemap *pm, uint64_t start, uint64_t end, struct page_runs *ret,
		   struct error *err)
{
	struct pm_scan_arg scan = { .start = start, .end = end, .category_mask = PAGE_IS_GUARD };
	uint64_t entries[ENTRIES_AT_ONCE], at;

	ret->closed = ret->runs.count;
	if (pm->has_guard)
		return scan_pages(pm, &scan, ret, err);
	for (at = start; at < end; at += ENTRIES_AT_ONCE * (uint64_t)PAGE_BYTES) {
		size_t count = (end - at) / PAGE_BYTES, i;

		if (count > ENTRIES_AT_ONCE)
			count = ENTRIES_AT_ONCE;
		if (pagemap_read(pm, at, count, entries, err))
			return -1;
		for (i = 0; i < count; i++)
			if (entries[i] & PAGEMAP_GUARD &&
			    page_runs_add(ret, at + i * PAGE_BYTES, 1, PAGES_GUARD))
				return no_memory(err);
	}
	return 0;
}
