/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PAGEMAP_SCAN_H
#define CL_PAGEMAP_SCAN_H

#include <linux/ioctl.h>
#include <stdint.h>

/* uapi linux/fs.h of Linux 6.7, which the C library's headers may not have yet. */
struct compat_page_region {
	uint64_t start, end, categories;
};

struct compat_pm_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define COMPAT_PAGEMAP_SCAN _IOWR('f', 16, struct compat_pm_scan)

enum {
	COMPAT_PAGE_WPALLOWED = 1 << 0,
	COMPAT_PAGE_WRITTEN = 1 << 1,
	COMPAT_PAGE_FILE = 1 << 2,
	COMPAT_PAGE_PRESENT = 1 << 3,
	COMPAT_PAGE_SWAPPED = 1 << 4,
	COMPAT_PAGE_PFNZERO = 1 << 5,
	COMPAT_PAGE_HUGE = 1 << 6,
	COMPAT_PAGE_SOFT_DIRTY = 1 << 7,
	COMPAT_PAGE_GUARD = 1 << 8,	/* Linux 6.17 */
};

#endif
