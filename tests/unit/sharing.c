/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks that are filled as sharing.c says have their pages, and share those that they shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "memory/sharing.h"

enum { PAGES = 48, TASKS = 9, BASE = 1 << 20, ROUNDS = 3000, WINDOW = 20 };

struct world {
	size_t count;
	struct sharing_task tasks[TASKS];
	struct map_areas areas[TASKS];
	struct page_runs own[TASKS];
	struct sharing_output outputs[TASKS];
	uint64_t frames[TASKS][PAGES];	/* 0: no page */
	bool huge[PAGES];
	/* After the restore: which fill made the page, and what it holds. */
	uint64_t made[TASKS][PAGES], holds[TASKS][PAGES];
	uint64_t fills;
};

static void add_area(struct world *w, size_t task, size_t first, size_t end, uint32_t object)
{
	struct map_area *a = array_add(&w->areas[task].areas);

	assert_non_null(a);
	*a = (struct map_area){
		.start = BASE + first * PAGE_BYTES,
		.end = BASE + end * PAGE_BYTES,
		.object = object,
		.offset = object ? first * PAGE_BYTES : 0,
	};
}

static const struct map_area *area_at(const struct world *w, size_t task, size_t page)
{
	return map_areas_find(&w->areas[task], BASE + page * PAGE_BYTES);
}

static bool keeps(const struct world *w, size_t task, size_t page)
{
	size_t birth = w->tasks[task].birth;
	const struct map_area *own = area_at(w, task, page), *parent;

	if (birth == (size_t)SHARING_NOBODY || !own)
		return false;
	parent = area_at(w, birth, page);
	return parent && map_area_keeps(parent, own);
}

/* Acts out what programs do: a child begins with its parent's pages; both go on writing. */
static void live(struct world *w, uint64_t *next_frame)
{
	for (size_t t = 0; t < w->count; t++) {
		for (size_t p = 0; p < PAGES; p++) {
			if (keeps(w, t, p))
				w->frames[t][p] = w->frames[w->tasks[t].birth][p];
			if (!area_at(w, t, p))
				continue;
			for (size_t who = 0; who <= t; who++) {
				if (rand() % 10 == 0 && area_at(w, who, p))
					w->frames[who][p] = ++*next_frame;
				if (rand() % 30 == 0 && area_at(w, who, p))
					w->frames[who][p] = 0;
			}
		}
	}
}

static void make_runs(struct world *w)
{
	for (size_t t = 0; t < w->count; t++) {
		for (size_t p = 0; p < PAGES; p++) {
			const struct map_area *a = area_at(w, t, p);

			if (a && a->start == BASE + p * PAGE_BYTES)
				w->own[t].closed = w->own[t].runs.count;
			if (w->frames[t][p])
				assert_int_equal(page_runs_add(&w->own[t], BASE + p * PAGE_BYTES, 1,
							       w->huge[p] ? PAGES_HUGE : 0),
						 0);
		}
		w->tasks[t].areas = &w->areas[t];
		w->tasks[t].own = &w->own[t];
	}
}

static bool mapped_twice(const struct world *w, uint64_t frame, size_t page)
{
	size_t holders = 0;

	for (size_t t = 0; t < w->count; t++)
		holders += w->frames[t][page] == frame;
	return holders > 1;
}

static void resolve(struct world *w)
{
	struct sharing *s = sharing_new(w->tasks, w->count, w->outputs);

	assert_non_null(s);
	for (size_t first = 0; first < PAGES; first += WINDOW) {
		struct sharing_page pages[TASKS * WINDOW];
		size_t count = 0;

		/* In an order that is not the one of the addresses. */
		for (size_t t = w->count; t-- > 0;) {
			for (size_t p = first; p < first + WINDOW && p < PAGES; p++) {
				if (w->frames[t][p] &&
				    (mapped_twice(w, w->frames[t][p], p) || p % 5))
					pages[count++] = (struct sharing_page){ w->frames[t][p],
										p - first, t };
			}
		}
		assert_int_equal(sharing_window(s, BASE + first * PAGE_BYTES, WINDOW, pages, count),
				 0);
	}
	assert_int_equal(sharing_end(s), 0);
	sharing_free(s);
}

/* Fills a task with runs; each is in one area and in order. */
static void fill(struct world *w, size_t task, const struct page_runs *runs,
		 const uint32_t *sources)
{
	uint64_t end = 0;

	for (size_t i = 0; i < runs->runs.count; i++) {
		const struct pages_range *r = &runs->runs.items[i];
		size_t page = (r->address - BASE) / PAGE_BYTES;
		const struct map_area *a = area_at(w, task, page);
		size_t source = sources ? sources[i] : task;

		assert_true(r->address >= end && r->pages > 0);
		end = r->address + (uint64_t)r->pages * PAGE_BYTES;
		assert_non_null(a);
		assert_true(end <= a->end);
		for (size_t k = page; k < page + r->pages; k++) {
			if (r->flags & PAGES_DROPPED) {
				assert_true(w->made[task][k] != 0);
				w->made[task][k] = w->holds[task][k] = 0;
				continue;
			}
			assert_true(w->frames[source][k] != 0);
			assert_int_equal(!!(r->flags & PAGES_HUGE), w->huge[k]);
			w->made[task][k] = ++w->fills;
			w->holds[task][k] = w->frames[source][k];
		}
	}
}

static void restore(struct world *w)
{
	for (size_t t = 0; t < w->count; t++) {
		const struct sharing_output *o = &w->outputs[t];

		for (size_t p = 0; p < PAGES; p++) {
			if (keeps(w, t, p)) {
				w->made[t][p] = w->made[w->tasks[t].birth][p];
				w->holds[t][p] = w->holds[w->tasks[t].birth][p];
			}
		}
		assert_int_equal(o->sources.count, o->before.runs.count);
		fill(w, t, &o->before, o->sources.items);
	}
	for (size_t t = 0; t < w->count; t++)
		fill(w, t, &w->outputs[t].after, NULL);
}

static void check_contents(const struct world *w)
{
	for (size_t t = 0; t < w->count; t++)
		for (size_t p = 0; p < PAGES; p++)
			assert_int_equal(w->holds[t][p], w->frames[t][p]);
}

/* Pages of the same frame that are one page again, and those that could be. */
static size_t count_shared(const struct world *w, bool restored)
{
	size_t pairs = 0;

	for (size_t p = 0; p < PAGES; p++)
		for (size_t a = 0; a < w->count; a++)
			for (size_t b = a + 1; b < w->count; b++)
				pairs += w->frames[a][p] && w->frames[a][p] == w->frames[b][p] &&
					 (!restored || w->made[a][p] == w->made[b][p]);
	return pairs;
}

static void release(struct world *w)
{
	for (size_t t = 0; t < w->count; t++) {
		map_areas_release(&w->areas[t]);
		page_runs_release(&w->own[t]);
		sharing_output_release(&w->outputs[t]);
	}
	free(w);
}

static struct world *new_world(size_t count)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->count = count;
	for (size_t t = 0; t < count; t++)
		w->tasks[t].birth = t ? rand() % t : (size_t)SHARING_NOBODY;
	return w;
}

static void any_tree_gets_its_pages(void **state)
{
	size_t possible = 0, shared = 0;

	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		struct world *w = new_world(1 + rand() % TASKS);
		uint64_t next_frame = 0;

		for (size_t t = 0; t < w->count; t++) {
			uint32_t object = rand() % 8 == 0;
			size_t first = rand() % 3 ? 0 : rand() % 10;
			size_t middle = 20 + rand() % 2;

			add_area(w, t, first, middle, object);
			add_area(w, t, middle + (rand() % 4 == 0), PAGES, 0);
		}
		for (size_t p = 0; p < PAGES; p++)
			w->huge[p] = p >= 8 && p < 16;
		live(w, &next_frame);
		make_runs(w);
		resolve(w);
		restore(w);
		check_contents(w);
		possible += count_shared(w, false);
		shared += count_shared(w, true);
		release(w);
	}
	/* Where one address needs two providers, copies are made. */
	assert_true(shared > possible * 9 / 10);
}

/* What a fork leaves, when parent and child have each written to some pages. */
static void a_fork_is_carried_once(void **state)
{
	struct world *w = new_world(2);
	size_t after = 0;

	for (size_t t = 0; t < 2; t++)
		add_area(w, t, 0, PAGES, 0);
	for (size_t p = 0; p < PAGES; p++) {
		w->frames[0][p] = w->frames[1][p] = p + 1;
		if (p % 4 == 0)
			w->frames[1][p] += 1000;
	}
	make_runs(w);
	resolve(w);
	restore(w);
	check_contents(w);
	assert_int_equal(count_shared(w, true), PAGES * 3 / 4);
	assert_int_equal(w->outputs[0].before.data_pages, PAGES * 3 / 4);
	for (size_t t = 0; t < 2; t++)
		after += w->outputs[t].after.data_pages;
	assert_int_equal(after, PAGES / 2);
	release(w);
}

/* The parent has gone on: its two children still share what it had. */
static void children_share_what_the_parent_lost(void **state)
{
	struct world *w = new_world(3);

	w->tasks[2].birth = 0;
	for (size_t t = 0; t < 3; t++)
		add_area(w, t, 0, PAGES, 0);
	for (size_t p = 0; p < PAGES; p++) {
		w->frames[1][p] = w->frames[2][p] = p + 1;
		w->frames[0][p] = p % 2 ? p + 1001 : 0;
	}
	make_runs(w);
	resolve(w);
	restore(w);
	check_contents(w);
	assert_int_equal(count_shared(w, true), PAGES);
	assert_int_equal(w->outputs[0].before.data_pages, PAGES);
	assert_int_equal(w->outputs[0].after.data_pages, PAGES / 2);
	assert_int_equal(w->outputs[1].after.runs.count + w->outputs[2].after.runs.count, 0);
	release(w);
}

static void huge_runs_are_split_off(void **state)
{
	struct sharing_output o = { 0 }, huge = { 0 };

	for (size_t i = 0; i < 10; i++) {
		uint32_t *source = array_add(&o.sources);

		assert_non_null(source);
		*source = i;
		assert_int_equal(page_runs_add(&o.before, i * 16 * PAGE_BYTES, 2,
					       i % 3 ? 0 : PAGES_HUGE), 0);
		assert_int_equal(page_runs_add(&o.after, i * 16 * PAGE_BYTES, 1,
					       i % 3 == 1 ? PAGES_DROPPED : 0), 0);
	}
	assert_int_equal(sharing_split_huge(&o, &huge), 0);
	assert_int_equal(huge.before.runs.count, 4);
	assert_int_equal(huge.sources.count, 4);
	assert_int_equal(huge.before.data_pages, 8);
	assert_int_equal(o.before.data_pages, 12);
	assert_int_equal(o.before.runs.count, 6);
	assert_int_equal(o.sources.count, 6);
	assert_int_equal(o.sources.items[0], 1);
	assert_int_equal(huge.sources.items[1], 3);
	assert_int_equal(huge.after.runs.count, 0);
	assert_int_equal(o.after.runs.count, 10);
	sharing_output_release(&o);
	sharing_output_release(&huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_tree_gets_its_pages),
		cmocka_unit_test(a_fork_is_carried_once),
		cmocka_unit_test(children_share_what_the_parent_lost),
		cmocka_unit_test(huge_runs_are_split_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
