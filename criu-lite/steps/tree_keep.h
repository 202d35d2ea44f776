/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_TREE_KEEP_H
#define CL_STEPS_TREE_KEEP_H

#include "kinds/dump.h"

/*
 * In a round of a pre-copy, with the tree of now in the order of its birth (tree_dump): finds the
 * tasks that are still what the other side has of them (task->round, task->kept). A process is
 * what its parent, session and memory make it; where one of these is another one, the process is
 * made anew, and all below it.
 */
int tree_keep(struct dump *d, struct error *err);

#endif
