/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/map_edit.h"

#include <sys/mman.h>

/* What cannot be changed of an area once it is there. */
#define FIXED_FLAGS \
	(AREA_SHARED | AREA_GROWS_DOWN | AREA_NO_RESERVE | AREA_DROPPABLE)

const struct map_area *map_areas_above(const struct map_areas *m, uint64_t address)
{
	size_t low = 0, high = m->areas.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->areas.items[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < m->areas.count ? &m->areas.items[low] : NULL;
}

const struct map_area *map_areas_find(const struct map_areas *m, uint64_t address)
{
	const struct map_area *a = map_areas_above(m, address);

	return a && a->start <= address ? a : NULL;
}

uint64_t map_find_hole(const struct map_areas *const *maps, size_t count, uint64_t from,
		       uint64_t size, uint64_t margin, uint64_t limit)
{
	uint64_t at = from;
	bool moved = true;
	size_t i;

	while (moved) {
		moved = false;
		if (at > limit || limit - at < size + 2 * margin)
			return 0;
		for (i = 0; i < count; i++) {
			const struct map_area *a = map_areas_above(maps[i], at);

			for (; a && a < maps[i]->areas.items + maps[i]->areas.count &&
			       a->start < at + size + 2 * margin; a++) {
				at = a->end;
				moved = true;
			}
		}
	}
	return at + margin;
}

/* Advice that is given at once, since it decides what the first touch of a page allocates. */
static bool early_huge(const struct map_area *a)
{
	return (a->flags & AREA_HUGE) && (a->flags & AREA_HAS_HUGE);
}

bool map_area_keeps(const struct map_area *have, const struct map_area *want)
{
	if (have->object != want->object || (have->flags ^ want->flags) & FIXED_FLAGS)
		return false;
	if (have->object && have->start - have->offset != want->start - want->offset)
		return false;
	if (want->flags & AREA_SHARED)
		return !((have->flags ^ want->flags) & AREA_MAY_WRITE);
	/* Accounting begins with mprotect, but never ends. */
	if ((have->flags & AREA_ACCOUNTED) && !(want->flags & AREA_ACCOUNTED))
		return false;
	return early_huge(have) == early_huge(want);
}

static int add_op(struct map_ops *ops, struct map_op op)
{
	struct map_op *last = ops->ops.count ? &ops->ops.items[ops->ops.count - 1] : NULL;

	if (last && last->kind == op.kind && last->end == op.start &&
	    (op.kind == MAP_OP_UNMAP || (last->area == op.area && last->account == op.account))) {
		last->end = op.end;
		return 0;
	}
	last = array_add(&ops->ops);
	if (!last)
		return -1;
	*last = op;
	return 0;
}

/*
 * Walks both lists through the pieces in which neither changes, and tells for each what is there
 * and what is wanted.
 */
struct walk {
	const struct map_areas *have, *want;
	size_t h, w;
	uint64_t at;
};

struct piece {
	uint64_t start, end;
	const struct map_area *have, *want;	/* NULL: nothing */
};

static bool next_piece(struct walk *k, struct piece *ret)
{
	const struct map_area *h, *w;
	uint64_t end = UINT64_MAX;

	while (k->h < k->have->areas.count && k->have->areas.items[k->h].end <= k->at)
		k->h++;
	while (k->w < k->want->areas.count && k->want->areas.items[k->w].end <= k->at)
		k->w++;
	h = k->h < k->have->areas.count ? &k->have->areas.items[k->h] : NULL;
	w = k->w < k->want->areas.count ? &k->want->areas.items[k->w] : NULL;
	if (!h && !w)
		return false;
	if ((!h || h->start > k->at) && (!w || w->start > k->at))
		k->at = !h ? w->start : !w ? h->start : h->start < w->start ? h->start : w->start;
	if (h)
		end = h->start > k->at ? h->start : h->end;
	if (w) {
		uint64_t next = w->start > k->at ? w->start : w->end;

		end = next < end ? next : end;
	}
	*ret = (struct piece){
		.start = k->at,
		.end = end,
		.have = h && h->start <= k->at ? h : NULL,
		.want = w && w->start <= k->at ? w : NULL,
	};
	k->at = end;
	return true;
}

static int edit_piece(const struct piece *p, const struct map_areas *want, bool unmapping,
		      struct map_ops *ret)
{
	bool kept = p->have && p->want && map_area_keeps(p->have, p->want);
	struct map_op op = { .start = p->start, .end = p->end };

	if (unmapping) {
		op.kind = MAP_OP_UNMAP;
		return p->have && !kept ? add_op(ret, op) : 0;
	}
	if (!p->want)
		return 0;
	op.area = p->want - want->areas.items;
	if (!kept) {
		op.kind = MAP_OP_MAP;
		return add_op(ret, op);
	}
	op.kind = MAP_OP_PROTECT;
	op.account = (p->want->flags & AREA_ACCOUNTED) && !(p->have->flags & AREA_ACCOUNTED) &&
		     !(p->want->prot & PROT_WRITE);
	return op.account || p->have->prot != p->want->prot ? add_op(ret, op) : 0;
}

int map_edit(const struct map_areas *have, const struct map_areas *want, struct map_ops *ret)
{
	int pass;

	for (pass = 0; pass < 2; pass++) {
		struct walk k = { .have = have, .want = want };
		struct piece p;

		while (next_piece(&k, &p))
			if (edit_piece(&p, want, pass == 0, ret))
				return -1;
	}
	return 0;
}
