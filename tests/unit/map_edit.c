/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A map that was edited is the wanted one, and keeps what both have alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory/map_edit.h"

enum { PAGE = 4096, PAGES = 64, BASE = 1 << 20, ROUNDS = 3000 };

/* What the kernel has of a page; area.start and .end do not count. */
struct cell {
	bool mapped, original;
	struct map_area area;
	bool accounted;
};

static void add(struct map_areas *m, uint64_t first, uint64_t end, struct map_area like)
{
	struct map_area *a = array_add(&m->areas);

	assert_non_null(a);
	*a = like;
	a->start = BASE + first * PAGE;
	a->end = BASE + end * PAGE;
}

/* A random map. The same kinds come up often, so that pieces are alike. */
static void random_map(struct map_areas *m)
{
	static const uint32_t kinds[] = { 0,
					  AREA_ACCOUNTED,
					  AREA_NO_RESERVE,
					  AREA_GROWS_DOWN | AREA_ACCOUNTED,
					  AREA_SHARED | AREA_MAY_WRITE,
					  AREA_HUGE | AREA_HAS_HUGE };
	size_t at = rand() % 8;

	while (at < PAGES) {
		size_t end = at + 1 + rand() % 12;
		struct map_area like = { .flags = kinds[rand() % ARRAY_SIZE(kinds)],
					 .prot = rand() % 3 ? PROT_READ | PROT_WRITE : PROT_READ };

		end = end < PAGES ? end : PAGES;
		/* Private memory that can be written to is accounted. */
		if (like.prot & PROT_WRITE && !(like.flags & (AREA_SHARED | AREA_NO_RESERVE)))
			like.flags |= AREA_ACCOUNTED;
		if (like.flags & AREA_SHARED || rand() % 3 == 0) {
			like.object = 1 + rand() % 2;
			like.offset = rand() % 2 ? at * PAGE : 0;
		}
		add(m, at, end, like);
		at = end + (rand() % 2 ? 0 : rand() % 5);
	}
}

static void lay_out(const struct map_areas *m, struct cell cells[PAGES])
{
	const struct map_area *a;

	memset(cells, 0, PAGES * sizeof(*cells));
	array_for(a, &m->areas) {
		for (size_t i = (a->start - BASE) / PAGE; i < (a->end - BASE) / PAGE; i++) {
			cells[i].mapped = cells[i].original = true;
			cells[i].area = *a;
			cells[i].accounted = a->flags & AREA_ACCOUNTED;
		}
	}
}

static uint64_t offset_at(const struct map_area *a, size_t page)
{
	return a->object ? a->offset + BASE + page * PAGE - a->start : 0;
}

/* Does what the kernel does with each operation. */
static void act(const struct map_ops *ops, const struct map_areas *want, struct cell cells[PAGES])
{
	const struct map_op *op;
	bool unmapping = true;

	array_for(op, &ops->ops) {
		const struct map_area *a = &want->areas.items[op->area];

		unmapping &= op->kind == MAP_OP_UNMAP;
		assert_true(op->start < op->end);
		for (size_t i = (op->start - BASE) / PAGE; i < (op->end - BASE) / PAGE; i++) {
			struct cell *c = &cells[i];

			switch (op->kind) {
			case MAP_OP_UNMAP:
				assert_true(unmapping && c->mapped);
				*c = (struct cell){ 0 };
				break;
			case MAP_OP_MAP:
				assert_false(c->mapped);
				assert_true(op->start >= a->start && op->end <= a->end);
				*c = (struct cell){ .mapped = true, .area = *a };
				c->accounted = a->flags & AREA_ACCOUNTED;
				break;
			case MAP_OP_PROTECT:
				assert_true(c->mapped);
				c->accounted |= op->account || a->prot & PROT_WRITE;
				c->area.prot = a->prot;
				break;
			}
		}
	}
}

static void compare(const struct cell *got, const struct cell *wanted, size_t page)
{
	assert_int_equal(got->mapped, wanted->mapped);
	if (!got->mapped)
		return;
	assert_int_equal(got->area.prot, wanted->area.prot);
	assert_int_equal(got->area.object, wanted->area.object);
	assert_int_equal(offset_at(&got->area, page), offset_at(&wanted->area, page));
	assert_int_equal(got->area.flags & (AREA_SHARED | AREA_NO_RESERVE | AREA_GROWS_DOWN),
			 wanted->area.flags & (AREA_SHARED | AREA_NO_RESERVE | AREA_GROWS_DOWN));
	if (wanted->accounted)
		assert_true(got->accounted);
}

static void becomes_the_wanted_map(void **state)
{
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		struct map_areas have = { 0 }, want = { 0 };
		struct cell before[PAGES], cells[PAGES], wanted[PAGES];
		struct map_ops ops = { 0 };

		random_map(&have);
		random_map(&want);
		lay_out(&have, cells);
		lay_out(&have, before);
		lay_out(&want, wanted);
		assert_int_equal(map_edit(&have, &want, &ops), 0);
		act(&ops, &want, cells);
		for (size_t i = 0; i < PAGES; i++) {
			compare(&cells[i], &wanted[i], i);
			assert_int_equal(cells[i].original,
					 before[i].mapped && wanted[i].mapped &&
						 map_area_keeps(&before[i].area, &wanted[i].area));
		}
		map_ops_release(&ops);
		map_areas_release(&have);
		map_areas_release(&want);
	}
}

static void does_nothing_for_the_same_map(void **state)
{
	struct map_areas map = { 0 };
	struct map_ops ops = { 0 };

	srand(2);
	random_map(&map);
	assert_int_equal(map_edit(&map, &map, &ops), 0);
	assert_int_equal(ops.ops.count, 0);
	map_areas_release(&map);
}

/* A heap that has grown since the fork gets the missing piece, in one operation. */
static void grows_a_heap(void **state)
{
	const struct map_area heap = { .flags = AREA_ACCOUNTED, .prot = PROT_READ | PROT_WRITE };
	struct map_areas have = { 0 }, want = { 0 };
	struct map_ops ops = { 0 };

	add(&have, 10, 20, heap);
	add(&want, 10, 30, heap);
	assert_int_equal(map_edit(&have, &want, &ops), 0);
	assert_int_equal(ops.ops.count, 1);
	assert_int_equal(ops.ops.items[0].kind, MAP_OP_MAP);
	assert_int_equal(ops.ops.items[0].start, BASE + 20 * PAGE);
	assert_int_equal(ops.ops.items[0].end, BASE + 30 * PAGE);
	map_ops_release(&ops);
	map_areas_release(&have);
	map_areas_release(&want);
}

/* Read-only data that was writable before stays accounted. */
static void accounts_what_it_protects(void **state)
{
	struct map_areas have = { 0 }, want = { 0 };
	struct map_ops ops = { 0 };

	add(&have, 0, 4, (struct map_area){ .object = 1, .prot = PROT_READ });
	add(&want, 0, 4,
	    (struct map_area){ .object = 1, .prot = PROT_READ, .flags = AREA_ACCOUNTED });
	assert_int_equal(map_edit(&have, &want, &ops), 0);
	assert_int_equal(ops.ops.count, 1);
	assert_int_equal(ops.ops.items[0].kind, MAP_OP_PROTECT);
	assert_true(ops.ops.items[0].account);
	map_ops_release(&ops);
	/* It cannot be taken back. */
	assert_int_equal(map_edit(&want, &have, &ops), 0);
	assert_int_equal(ops.ops.items[0].kind, MAP_OP_UNMAP);
	map_ops_release(&ops);
	map_areas_release(&have);
	map_areas_release(&want);
}

static void finds_areas_and_holes(void **state)
{
	struct map_areas a = { 0 }, b = { 0 };
	const struct map_areas *both[] = { &a, &b };

	add(&a, 0, 10, (struct map_area){ 0 });
	add(&a, 20, 30, (struct map_area){ 0 });
	add(&b, 12, 14, (struct map_area){ 0 });
	add(&b, 29, 40, (struct map_area){ 0 });
	assert_null(map_areas_find(&a, BASE + 10 * PAGE));
	assert_ptr_equal(map_areas_find(&a, BASE + 10 * PAGE - 1), a.areas.items);
	assert_ptr_equal(map_areas_above(&a, BASE + 10 * PAGE), a.areas.items + 1);
	assert_null(map_areas_above(&a, BASE + 30 * PAGE));
	assert_int_equal(map_find_hole(both, 2, BASE, 2 * PAGE, 0, BASE + 100 * PAGE),
			 BASE + 10 * PAGE);
	assert_int_equal(map_find_hole(both, 2, BASE, 4 * PAGE, 0, BASE + 100 * PAGE),
			 BASE + 14 * PAGE);
	assert_int_equal(map_find_hole(both, 2, BASE, 4 * PAGE, PAGE, BASE + 100 * PAGE),
			 BASE + 15 * PAGE);
	assert_int_equal(map_find_hole(both, 2, BASE, 4 * PAGE, 2 * PAGE, BASE + 100 * PAGE),
			 BASE + 42 * PAGE);
	assert_int_equal(map_find_hole(both, 2, BASE, 60 * PAGE, 0, BASE + 100 * PAGE),
			 BASE + 40 * PAGE);
	assert_int_equal(map_find_hole(both, 2, BASE, 61 * PAGE, 0, BASE + 100 * PAGE), 0);
	map_areas_release(&a);
	map_areas_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(becomes_the_wanted_map),
		cmocka_unit_test(does_nothing_for_the_same_map),
		cmocka_unit_test(grows_a_heap),
		cmocka_unit_test(accounts_what_it_protects),
		cmocka_unit_test(finds_areas_and_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
