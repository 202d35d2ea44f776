/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_PAGE_SETS_H
#define CL_MEMORY_PAGE_SETS_H

#include "memory/map_edit.h"
#include "memory/pagemap.h"

/*
 * Runs of pages as sets: pure functions. The runs of both operands ascend without overlap; those
 * of the result, which is appended to, do not cross the ends of a run of the first operand, or of
 * the second one where they are not in the first.
 */

enum page_sets_operation {
	PAGES_COMMON,	/* what is in both, with the flags of the first */
	PAGES_MINUS,	/* what is only in the first */
	PAGES_UNION,	/* what is in either, with the flags of the first where it is in that */
};

/* -1 without memory. */
int page_sets(const struct page_runs *a, enum page_sets_operation operation,
	      const struct page_runs *b, struct page_runs *ret);

/* Makes a set of runs that are in any order and may overlap; without flags. -1 without memory. */
int page_sets_sort(struct page_runs *r);

/* Takes the flags given away from all runs. */
void page_sets_clear_flags(struct page_runs *r, uint32_t flags);
/* Appends the parts that lie in areas, cut where these end, with these flags. -1 without memory. */
int page_sets_in_areas(const struct page_runs *r, const struct map_areas *areas, uint32_t flags,
		       struct page_runs *ret);

#endif
