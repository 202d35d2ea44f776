/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_VFORK_H
#define CL_STEPS_VFORK_H

#include "kinds/dump.h"

/*
 * A thread in vfork(2) cannot stop before its child has executed a program or ended, and the child
 * can do neither while we hold it.
 */

/* Whether a thread that has been asked to stop waits for a child. */
bool vfork_waits(const struct dump_thread *t);
/* Detaches from the held children that use the process's memory. They stay in d->tasks without
 * threads, to be seized anew. */
void vfork_let_children_go(const struct dump_task *task);

#endif
