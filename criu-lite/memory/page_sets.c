/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/page_sets.h"

static uint64_t run_end(const struct pages_range *run)
{
	return run->address + (uint64_t)run->pages * PAGE_BYTES;
}

/* One operand, walked through from low to high addresses. */
struct operand {
	const struct page_runs *runs;
	size_t at;
};

/* The run that reaches beyond the address; NULL: none. */
static const struct pages_range *run_at(struct operand *o, uint64_t address)
{
	while (o->at < o->runs->runs.count && run_end(&o->runs->runs.items[o->at]) <= address)
		o->at++;
	return o->at < o->runs->runs.count ? &o->runs->runs.items[o->at] : NULL;
}

/* Where the state of an operand changes next, seen from `address`. */
static uint64_t next_change(const struct pages_range *run, uint64_t address)
{
	return !run ? UINT64_MAX : run->address > address ? run->address : run_end(run);
}

static bool wanted(enum page_sets_operation operation, bool in_a, bool in_b)
{
	switch (operation) {
	case PAGES_COMMON:
		return in_a && in_b;
	case PAGES_MINUS:
		return in_a && !in_b;
	case PAGES_UNION:
		return in_a || in_b;
	}
	return false;
}

int page_sets(const struct page_runs *a, enum page_sets_operation operation,
	      const struct page_runs *b, struct page_runs *ret)
{
	struct operand left = { .runs = a }, right = { .runs = b };
	uint64_t at = 0;

	ret->closed = ret->runs.count;
	for (;;) {
		const struct pages_range *x = run_at(&left, at), *y = run_at(&right, at);
		uint64_t end = next_change(x, at);
		bool in_x = x && x->address <= at, in_y = y && y->address <= at;

		if (end == UINT64_MAX && next_change(y, at) == UINT64_MAX)
			return 0;
		if (next_change(y, at) < end)
			end = next_change(y, at);
		if ((in_x && x->address == at) || (!in_x && in_y && y->address == at))
			ret->closed = ret->runs.count;
		if (wanted(operation, in_x, in_y) &&
		    page_runs_add(ret, at, (end - at) / PAGE_BYTES, in_x ? x->flags : y->flags))
			return -1;
		at = end;
	}
}

static int compare_runs(const void *a, const void *b)
{
	const struct pages_range *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

int page_sets_sort(struct page_runs *r)
{
	struct page_runs sorted = { 0 };
	const struct pages_range *run;
	uint64_t at = 0;

	if (!r->runs.count)
		return 0;
	qsort(r->runs.items, r->runs.count, sizeof(*r->runs.items), compare_runs);
	array_for(run, &r->runs) {
		uint64_t from = run->address > at ? run->address : at;

		if (from >= run_end(run))
			continue;
		at = run_end(run);
		if (page_runs_add(&sorted, from, (at - from) / PAGE_BYTES, 0)) {
			page_runs_release(&sorted);
			return -1;
		}
	}
	page_runs_release(r);
	*r = sorted;
	return 0;
}

void page_sets_clear_flags(struct page_runs *r, uint32_t flags)
{
	struct pages_range *run;

	array_for(run, &r->runs)
		run->flags &= ~flags;
}

int page_sets_in_areas(const struct page_runs *r, const struct map_areas *areas, uint32_t flags,
		       struct page_runs *ret)
{
	const struct map_area *a, *end = areas->areas.items + areas->areas.count;
	const struct pages_range *run;

	array_for(run, &r->runs) {
		a = areas->areas.count ? map_areas_above(areas, run->address) : NULL;
		for (; a && a < end && a->start < run_end(run); a++) {
			uint64_t from = a->start > run->address ? a->start : run->address;
			uint64_t to = a->end < run_end(run) ? a->end : run_end(run);

			ret->closed = ret->runs.count;
			if (page_runs_add(ret, from, (to - from) / PAGE_BYTES, flags))
				return -1;
		}
	}
	return 0;
}
