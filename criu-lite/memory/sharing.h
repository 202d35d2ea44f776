/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_SHARING_H
#define CL_MEMORY_SHARING_H

#include "memory/map_edit.h"
#include "memory/pagemap.h"

/*
 * Pages that a fork left shared are carried once and are one page again after a restore. Pure
 * functions over what each task has.
 *
 * Tasks are born with their parent's memory and keep of it what map_area_keeps() says. So at each
 * address every task has a page `before` its children are born, which they inherit, and gets
 * another one `after` that if its own is different; what it inherits but does not have is dropped.
 * A page that several tasks share is provided by the nearest task of which all of them are born.
 */

enum { SHARING_NOBODY = -1ul };

struct sharing_task {
	size_t birth;		/* index of an earlier task, or SHARING_NOBODY */
	const struct map_areas *areas;
	const struct page_runs *own;	/* all its own pages, in no run of more than one area */
	/* It is complete before others are born, so these inherit all that it has, and it provides
	 * nothing but its own pages. Its .birth is SHARING_NOBODY; .after is without meaning. */
	bool complete;
	bool runs;		/* it may end while it is looked at: then it shares nothing */
};

/* What each task is to be filled with. */
struct sharing_output {
	struct page_runs before, after;
	ARRAY_OF(uint32_t) sources;	/* for each run of .before, the task that has these pages */
};

void sharing_output_release(struct sharing_output *o);
/* Moves the runs that are in huge pages over to *ret, which is empty. -1 without memory. */
int sharing_split_huge(struct sharing_output *o, struct sharing_output *ret);

/* A page that is mapped more than once. */
struct sharing_page {
	uint64_t frame;		/* what tells whether two are the same; not 0 */
	uint32_t page;		/* number within the window */
	uint32_t task;
};

struct sharing;

/* Fills outputs, one for each task, by and by. NULL without memory. Tasks and outputs are the
 * caller's and must stay. */
struct sharing *sharing_new(const struct sharing_task *tasks, size_t count,
			    struct sharing_output *outputs);
/* Looks at the shared pages of a window of addresses, which are in any order and will be sorted.
 * Windows ascend. -1 without memory. */
int sharing_window(struct sharing *s, uint64_t start, uint32_t window_pages,
		   struct sharing_page *pages, size_t count);
/* Adds all that no window has dealt with. -1 without memory. */
int sharing_end(struct sharing *s);
void sharing_free(struct sharing *s);

/*
 * Does all of it for held processes: reads which of their own pages are mapped more than once
 * (pagemap, which needs CAP_SYS_ADMIN to tell frames; without it nothing is shared) and resolves
 * them. proc_fds are open /proc/PID directories, -1 for a task without memory.
 */
int sharing_find(const struct sharing_task *tasks, const int *proc_fds, size_t count,
		 struct sharing_output *outputs, struct error *err);

#endif
