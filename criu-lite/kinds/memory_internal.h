/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MEMORY_INTERNAL_H
#define CL_KINDS_MEMORY_INTERNAL_H

#include "images/maps.pb-c.h"
#include "images/memory.pb-c.h"
#include "kinds/memory.h"
#include "kinds/memory_rounds.h"
#include "memory/fill.h"
#include "memory/map_edit.h"
#include "memory/sharing.h"

/* Shared by kinds/memory_*.c and kinds/task/maps.c only. */

/* ---- checkpoint ---- */

/* What is known of one task's memory between its maps and its pages. */
struct dumped_task {
	struct map_areas areas;		/* the ordinary ones */
	struct page_runs own;		/* its own pages */
	struct sharing_output output;	/* which of them it is to be filled with, and when */
	struct sharing_output huge;	/* those of .output that are in huge pages */
	/* In a round: what was written to since the last one, what a kept task is to get, and what
	 * a new one inherits of a kept one's pages. */
	struct page_runs dirty, inherited;
	struct round_pages again;
};

struct dump_memory {
	struct dumped_task *tasks;	/* as many as the run has */
	struct content_source *sources;	/* of each */
	size_t task_count;
};

/* In a round, before the pages of any task are looked for: looks what was written to, from now on
 * anew. *err is room for what does not matter. */
void memory_dump_dirty(struct dump *d, struct error *err);
/* In the freeze: finds out what a kept task has and has written to. */
int memory_dump_own_again(struct dump_task *task, struct dumped_task *mine, struct error *err);
/* With the pages of all tasks known, before sharing is found out: what the kept ones get. */
int memory_dump_again(struct dump *d, struct error *err);
/* Afterwards: new tasks drop what they have inherited of kept ones' pages and shall not have. */
int memory_dump_inherited(struct dump *d, struct error *err);
/* Whether the task, which is kept, has children that are new. */
bool memory_dump_bears(const struct dump *d, const struct dump_task *task);

/* ---- restore ---- */

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
	/* What a kept puppet has had in the round before, until then. */
	bool kept;
	struct map_areas had;
	uint32_t had_exe;
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
