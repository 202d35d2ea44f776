/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/sharing.h"

#include <stdlib.h>
#include <string.h>

/* A task's state at the page that is looked at. */
struct member {
	/* Position in .own: everything before it has been put out. */
	size_t run;
	uint32_t page;
	const struct map_area *area;	/* at this page, or NULL; the same up to .until */
	uint64_t until;
	bool keeps;		/* has inherited what its parent had here */
	uint64_t frame;		/* of its page, when that is shared; 0 */
	uint64_t provides, inherits;	/* frames */
};

struct group {
	uint64_t frame;
	size_t first, count;	/* in the sorted pages */
};

struct sharing {
	const struct sharing_task *tasks;
	size_t count;
	struct sharing_output *outputs;
	struct member *members;
	ARRAY_OF(struct sharing_page) sorted;
	ARRAY_OF(struct group) groups;
	size_t *starts;		/* of each page of the window in .sorted */
	size_t starts_capacity;
};

void sharing_output_release(struct sharing_output *o)
{
	page_runs_release(&o->before);
	page_runs_release(&o->after);
	array_release(&o->sources);
}

/* Runs keep their order; sources, where there are some, go with them. */
static int split_runs(struct page_runs *runs, uint32_t *sources, struct page_runs *ret,
		      struct sharing_output *ret_sources)
{
	size_t kept = 0, i;

	for (i = 0; i < runs->runs.count; i++) {
		const struct pages_range run = runs->runs.items[i];
		struct pages_range *moved;
		uint32_t *source = NULL;

		if (!(run.flags & PAGES_HUGE)) {
			runs->runs.items[kept] = run;
			if (sources)
				sources[kept] = sources[i];
			kept++;
			continue;
		}
		moved = array_add(&ret->runs);
		if (sources)
			source = array_add(&ret_sources->sources);
		if (!moved || (sources && !source))
			return -1;
		*moved = run;
		if (source)
			*source = sources[i];
		ret->data_pages += run.pages;
		runs->data_pages -= run.pages;
	}
	runs->runs.count = kept;
	return 0;
}

int sharing_split_huge(struct sharing_output *o, struct sharing_output *ret)
{
	if (split_runs(&o->before, o->sources.items, &ret->before, ret) ||
	    split_runs(&o->after, NULL, &ret->after, NULL))
		return -1;
	o->sources.count = o->before.runs.count;
	return 0;
}

struct sharing *sharing_new(const struct sharing_task *tasks, size_t count,
			    struct sharing_output *outputs)
{
	struct sharing *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->tasks = tasks;
	s->count = count;
	s->outputs = outputs;
	s->members = calloc(count + 1, sizeof(*s->members));
	if (!s->members) {
		free(s);
		return NULL;
	}
	return s;
}

void sharing_free(struct sharing *s)
{
	if (!s)
		return;
	free(s->members);
	free(s->starts);
	array_release(&s->sorted);
	array_release(&s->groups);
	free(s);
}

/* ---- what is put out ---- */

static const struct pages_range *own_run(const struct sharing *s, size_t task)
{
	const struct page_runs *own = s->tasks[task].own;

	return s->members[task].run < own->runs.count ? &own->runs.items[s->members[task].run]
						      : NULL;
}

/* Puts a task's own pages below the address out, to be filled after its children are born. */
static int put_own(struct sharing *s, size_t task, uint64_t address)
{
	struct page_runs *after = &s->outputs[task].after;
	struct member *m = &s->members[task];
	const struct pages_range *run;

	while ((run = own_run(s, task))) {
		uint64_t at = run->address + (uint64_t)m->page * PAGE_BYTES;
		uint64_t pages = run->pages - m->page;

		if (at >= address)
			break;
		if (pages > (address - at) / PAGE_BYTES)
			pages = (address - at) / PAGE_BYTES;
		if (!m->page)
			after->closed = after->runs.count;
		if (page_runs_add(after, at, pages, run->flags))
			return -1;
		m->page += pages;
		if (m->page == run->pages) {
			m->page = 0;
			m->run++;
		}
	}
	return 0;
}

/* Passes over one own page, which the task inherits. */
static void skip_own(struct sharing *s, size_t task)
{
	struct member *m = &s->members[task];

	if (++m->page == own_run(s, task)->pages) {
		m->page = 0;
		m->run++;
	}
}

/* Whether the task has a page of its own here; what is before has been put out. */
static bool has_own(const struct sharing *s, size_t task, uint64_t address)
{
	const struct pages_range *run = own_run(s, task);

	return run && run->address + (uint64_t)s->members[task].page * PAGE_BYTES == address;
}

static int put_dropped(struct sharing *s, size_t task, uint64_t address)
{
	struct page_runs *after = &s->outputs[task].after;

	if (s->members[task].area->start == address)
		after->closed = after->runs.count;
	return page_runs_add(after, address, 1, PAGES_DROPPED);
}

/* The provider gets the page of `source`, before its children are born. */
static int put_before(struct sharing *s, size_t task, size_t source, uint64_t address)
{
	struct sharing_output *o = &s->outputs[task];
	size_t last = o->before.runs.count;
	uint32_t *slot;

	if (s->members[task].area->start == address || !last ||
	    o->sources.items[last - 1] != source)
		o->before.closed = last;
	if (page_runs_add(&o->before, address, 1, own_run(s, source)->flags))
		return -1;
	if (o->before.runs.count == last)
		return 0;
	slot = array_add(&o->sources);
	if (!slot)
		return -1;
	*slot = source;
	return 0;
}

/* ---- one page of all tasks ---- */

static void find_area(struct sharing *s, size_t task, uint64_t address)
{
	const struct map_areas *areas = s->tasks[task].areas;
	struct member *m = &s->members[task];

	if (address < m->until)
		return;
	m->area = map_areas_above(areas, address);
	m->until = !m->area ? UINT64_MAX : m->area->start > address ? m->area->start : m->area->end;
	if (m->area && (m->area->start > address || m->area->flags & AREA_SHARED))
		m->area = NULL;
}

/* Everybody's area here, and who keeps what of whom. */
static int meet(struct sharing *s, uint64_t address)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];
		size_t birth = s->tasks[i].birth;

		find_area(s, i, address);
		m->keeps = birth != SHARING_NOBODY && m->area && s->members[birth].area &&
			   map_area_keeps(s->members[birth].area, m->area);
		m->frame = m->provides = 0;
		if (put_own(s, i, address))
			return -1;
	}
	return 0;
}

/* The nearest task of which both are born, keeping what was there; SHARING_NOBODY if none is.
 * Tasks come after those of which they are born. */
static size_t common_ancestor(const struct sharing *s, size_t a, size_t b)
{
	while (a != b) {
		size_t *later = a > b ? &a : &b;

		if (!s->members[*later].keeps)
			return SHARING_NOBODY;
		*later = s->tasks[*later].birth;
	}
	return a;
}

/* Finds out who provides the page of a group. Members of other descent keep copies. */
static void choose_provider(struct sharing *s, const struct group *g)
{
	const struct sharing_page *pages = &s->sorted.items[g->first];
	size_t provider = pages[0].task, shared = 1, i;

	for (i = 1; i < g->count; i++) {
		size_t common = common_ancestor(s, provider, pages[i].task);

		if (common != SHARING_NOBODY) {
			provider = common;
			shared++;
		}
	}
	/* It has another page there, or none. */
	if (s->tasks[provider].complete && s->members[provider].frame != g->frame)
		return;
	if (shared > 1 && !s->members[provider].provides)
		s->members[provider].provides = g->frame;
}

static size_t source_of(const struct sharing *s, size_t provider)
{
	uint64_t frame = s->members[provider].provides;
	size_t i;

	if (s->members[provider].frame == frame)
		return provider;
	for (i = 0; s->members[i].frame != frame; i++)
		;
	return i;
}

static int share_page(struct sharing *s, uint64_t address)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		m->inherits = s->tasks[i].complete ? m->frame :
			      m->provides ? m->provides :
			      m->keeps	  ? s->members[s->tasks[i].birth].inherits :
					    0;
		if (m->provides && put_before(s, i, source_of(s, i), address))
			return -1;
	}
	/* Only now: a provider's page may be that of a later task. */
	for (i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		if (!m->inherits)
			continue;
		if (m->frame == m->inherits)
			skip_own(s, i);
		else if (!has_own(s, i, address) && put_dropped(s, i, address))
			return -1;
	}
	return 0;
}

/* ---- a window ---- */

/* Counting sort by page; those of one page by frame. */
static int sort_pages(struct sharing *s, uint32_t window_pages, const struct sharing_page *pages,
		      size_t count)
{
	size_t i, at = 0;

	if (window_pages + 1 > s->starts_capacity) {
		size_t *starts = reallocarray(s->starts, window_pages + 1, sizeof(*starts));

		if (!starts)
			return -1;
		s->starts = starts;
		s->starts_capacity = window_pages + 1;
	}
	if (count > s->sorted.capacity) {
		struct sharing_page *sorted = reallocarray(s->sorted.items, count, sizeof(*sorted));

		if (!sorted)
			return -1;
		s->sorted.items = sorted;
		s->sorted.capacity = count;
	}
	memset(s->starts, 0, (window_pages + 1) * sizeof(*s->starts));
	for (i = 0; i < count; i++)
		s->starts[pages[i].page]++;
	for (i = 0; i <= window_pages; i++) {
		size_t here = s->starts[i];

		s->starts[i] = at;
		at += here;
	}
	for (i = 0; i < count; i++)
		s->sorted.items[s->starts[pages[i].page]++] = pages[i];
	/* Each start has moved to the end, which is the start of the next. */
	memmove(s->starts + 1, s->starts, window_pages * sizeof(*s->starts));
	s->starts[0] = 0;
	return 0;
}

static int compare_pages(const void *a, const void *b)
{
	const struct sharing_page *x = a, *y = b;

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	return x->task < y->task ? -1 : x->task > y->task;
}

static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->count > y->count ? -1 : x->count < y->count;
}

/* Collects those of the pages first … end - 1 that are the same frame, large groups first. */
static int find_groups(struct sharing *s, size_t first, size_t end)
{
	struct sharing_page *pages = s->sorted.items;
	size_t i, next;

	s->groups.count = 0;
	if (end - first > 2)
		qsort(pages + first, end - first, sizeof(*pages), compare_pages);
	for (i = first; i < end; i = next) {
		struct group *g;

		for (next = i + 1; next < end && pages[next].frame == pages[i].frame; next++)
			;
		if (next - i < 2)
			continue;
		g = array_add(&s->groups);
		if (!g)
			return -1;
		*g = (struct group){ pages[i].frame, i, next - i };
	}
	if (s->groups.count > 1)
		qsort(s->groups.items, s->groups.count, sizeof(*s->groups.items), compare_groups);
	return 0;
}

int sharing_window(struct sharing *s, uint64_t start, uint32_t window_pages,
		   struct sharing_page *pages, size_t count)
{
	uint32_t page;
	size_t i;

	if (sort_pages(s, window_pages, pages, count))
		return -1;
	for (page = 0; page < window_pages; page++) {
		size_t first = s->starts[page], end = s->starts[page + 1];
		uint64_t address = start + (uint64_t)page * PAGE_BYTES;
		const struct group *g;

		if (end - first < 2)
			continue;
		if (find_groups(s, first, end))
			return -1;
		if (!s->groups.count)
			continue;
		if (meet(s, address))
			return -1;
		array_for(g, &s->groups) {
			for (i = 0; i < g->count; i++)
				s->members[s->sorted.items[g->first + i].task].frame = g->frame;
		}
		array_for(g, &s->groups)
			choose_provider(s, g);
		if (share_page(s, address))
			return -1;
	}
	return 0;
}

int sharing_end(struct sharing *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (put_own(s, i, UINT64_MAX & ~(uint64_t)(PAGE_BYTES - 1)))
			return -1;
	return 0;
}
