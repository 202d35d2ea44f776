/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MEMORY_INTERNAL_H
#define CL_KINDS_MEMORY_INTERNAL_H

#include "images/maps.pb-c.h"
#include "images/memory.pb-c.h"
#include "kinds/memory.h"
#include "memory/fill.h"
#include "memory/map_edit.h"

/* Shared by kinds/memory_*.c and kinds/task/maps.c only. */

/* A part of the vdso: where every puppet keeps it until its maps are put. */
struct parked {
	Vma__Special special;
	uint64_t start, size;	/* in this process and in the root puppet at birth */
	uint64_t park;		/* offset behind the agent */
};

struct restore_memory {
	bool ready;		/* maps of all tasks are read, parts known */
	ARRAY_OF(struct parked) parts;
	uint64_t vdso_hash;
	Memory *announced;	/* the last RECORD_MEMORY */
	size_t next_set;	/* of it */
};

struct task_memory {
	bool made;		/* its maps are restored */
	struct map_areas areas;	/* as wanted, without the special ones */
	uint32_t exe;		/* what its exe link shows, an object's id; 0: this program */
	struct fill_space fill;
};

/* The next set that is announced, NULL when all are read. */
const Memory__Set *memory_next_set(const struct restore *r);
/* ERROR_IMAGE for a set that cannot come here. */
int memory_unexpected(const Memory__Set *set, struct error *err);
/* Reads the records of the next set into a space; they may still be on their way afterwards, until
 * stream_barrier(). */
int memory_read_set(struct restore *r, struct fill_space *space, struct error *err);

/* Reads this process's own vdso: its parts and the hash of its code. */
int memory_learn_parts(struct restore_memory *memory, struct error *err);
/* Whether the vdso that a task wants is the one that we have. */
int memory_check_special(const struct restore_memory *memory, const Maps *m, struct error *err);
/* Where a part is parked in every puppet. */
uint64_t memory_park_address(const struct restore_task *t, const struct parked *part);
/* Appends what moves the parked vdso to its place, or unmaps it. */
int memory_put_special(struct restore_task *t, const Maps *m, struct batch *b, struct error *err);

#endif
