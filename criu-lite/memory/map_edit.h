/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_MAP_EDIT_H
#define CL_MEMORY_MAP_EDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"

/*
 * Address spaces as lists of areas, and what turns one into another: pure functions.
 *
 * A task is restored by turning the map it was born with, its parent's, into its own. What both
 * have alike is kept with its pages, so that pages which a fork has left shared are shared again.
 */

enum area_flag {
	AREA_SHARED = 1 << 0,		/* MAP_SHARED */
	AREA_MAY_WRITE = 1 << 1,	/* may be made writable: opened for writing, if shared */
	AREA_GROWS_DOWN = 1 << 2,
	AREA_ACCOUNTED = 1 << 3,	/* counted against the commit limit */
	AREA_NO_RESERVE = 1 << 4,
	AREA_DROPPABLE = 1 << 5,	/* MAP_DROPPABLE */
	AREA_HAS_HUGE = 1 << 6,		/* huge pages are in it */
	/* What madvise(2) and mlock2(2) have set. */
	AREA_HUGE = 1 << 7,
	AREA_NO_HUGE = 1 << 8,
	AREA_LOCKED = 1 << 9,
	AREA_LOCK_ON_FAULT = 1 << 10,
	AREA_SEQUENTIAL = 1 << 11,
	AREA_RANDOM = 1 << 12,
	AREA_DONT_FORK = 1 << 13,
	AREA_WIPE_ON_FORK = 1 << 14,
	AREA_DONT_DUMP = 1 << 15,
	AREA_MERGEABLE = 1 << 16,
	AREA_HAS_GUARDS = 1 << 17,	/* there may be guard regions in it */
	AREA_FLAGS_KNOWN = (1 << 18) - 1,
};

struct map_area {
	uint64_t start, end;	/* addresses, end is exclusive */
	uint64_t offset;	/* in the object, bytes */
	uint32_t object;	/* 0: private anonymous memory */
	uint32_t flags;		/* AREA_* */
	int prot;		/* PROT_* */
};

/* Ascending, not overlapping. */
struct map_areas {
	ARRAY_OF(struct map_area) areas;
};

static inline void map_areas_release(struct map_areas *m)
{
	array_release(&m->areas);
}
#define _cleanup_areas_ __attribute__((cleanup(map_areas_release)))

/* The first area that ends above the address, or NULL. */
const struct map_area *map_areas_above(const struct map_areas *m, uint64_t address);
/* The area that holds the address, or NULL. */
const struct map_area *map_areas_find(const struct map_areas *m, uint64_t address);

/* The lowest address from `from` on at which `size` bytes and a margin on both sides are free in
 * all of these maps, below `limit`; 0 when there is none. */
uint64_t map_find_hole(const struct map_areas *const *maps, size_t count, uint64_t from,
		       uint64_t size, uint64_t margin, uint64_t limit);

/*
 * Whether a child that wants `want` keeps what it has of `have` where both overlap: the same kind
 * of memory at the same offset of the same object. Protection may differ. This rule is part of the
 * image format: it decides which pages a child inherits.
 */
bool map_area_keeps(const struct map_area *have, const struct map_area *want);

enum map_op_kind {
	MAP_OP_UNMAP,
	MAP_OP_MAP,	/* the part start … end of area `area` of the wanted map */
	MAP_OP_PROTECT,	/* the same: mprotect to what it wants */
};

struct map_op {
	enum map_op_kind kind;
	bool account;	/* PROTECT: through PROT_WRITE, so that it is accounted */
	uint64_t start, end;
	size_t area;
};

struct map_ops {
	ARRAY_OF(struct map_op) ops;
};

static inline void map_ops_release(struct map_ops *m)
{
	array_release(&m->ops);
}
#define _cleanup_map_ops_ __attribute__((cleanup(map_ops_release)))

/* All that turns `have` into `want`, in the order in which it is to be done: first every UNMAP.
 * Memory that is in neither map is not touched. -1 without memory. */
int map_edit(const struct map_areas *have, const struct map_areas *want, struct map_ops *ret);

#endif
