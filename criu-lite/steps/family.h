/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_FAMILY_H
#define CL_STEPS_FAMILY_H

#include "steps/tree_plan.h"

/* Who is who in a saved tree, found without looking at all of it: a forged one may be large. */

/* Numbers, each with an index; sorted by number, then by index. */
struct numbers {
	struct number {
		pid_t number;
		size_t index;
	} *items;
	size_t count;
};
/* Sorts what was filled in. */
void numbers_sort(struct numbers *n);
/* The first entry with this number or a higher one; n->count past the last. */
size_t numbers_find(const struct numbers *n, pid_t number);

/* All lists are by index of the task. */
struct family {
	const struct plan_task *tasks;
	size_t count;
	struct numbers pids, sessions, groups;
	size_t *parent;
	size_t *first_child, *next_child;	/* PLAN_NOBODY: none; in the order of the tasks */
	size_t *entered, *left;			/* of a walk through the tree */
};

/* Checks that it is a tree, parents before children: else ERROR_IMAGE. */
int family_init(struct family *f, const struct plan_task *tasks, size_t count, struct error *err);
/* The task with this pid or PLAN_NOBODY. */
size_t family_find(const struct family *f, pid_t pid);
/* Whether who is `ancestor` or below it. */
bool family_descends(const struct family *f, size_t who, size_t ancestor);
void family_release(struct family *f);

#endif
