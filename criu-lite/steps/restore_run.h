/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_RESTORE_RUN_H
#define CL_STEPS_RESTORE_RUN_H

#include "images/image.pb-c.h"
#include "images/tree.pb-c.h"
#include "kinds/restore.h"
#include "steps/one_processor.h"
#include "steps/restore.h"
#include "steps/steps.h"
#include "steps/waiting.h"

/* The steps of a restore, for its coordinator (restore.c). */

struct restore_run {
	const struct restore_options *options;
	struct restore_report *report;
	struct restore r;
	Image *image;
	Tree *tree;
	struct one_processor turns;
	char *pidfile;		/* as it is reached from where the steps run */
	bool pidfile_made;
	struct cell cell;	/* with a waiting room … */
	bool *decided;		/* … that it has left for good: nothing is taken back any more;
				 * seen also by who waits for us */
	struct guard *outer_guard;	/* of the other process, if there are two */
	int first;	/* pidfd of the first puppet, when it was made before all others */
};

/* Where the caller is: up to the first puppet of a tree with namespaces of its own. */
enum { RESTORE_OUTER_STEPS = 7 };
extern const struct step restore_outer_steps[RESTORE_OUTER_STEPS];
/* In the namespaces of the tree, by another process if it has some of its own. */
enum { RESTORE_INNER_STEPS = 26 };
extern const struct step restore_inner_steps[RESTORE_INNER_STEPS];

/* What both have: a guard, and one operation of all rows that have a message; `offset` is of it in
 * struct container_ops. */
int restore_start_guard(void *context, struct error *err);
void restore_end_guard(void *context);
int restore_container_rows(struct restore *r, size_t offset, struct error *err);

#endif
