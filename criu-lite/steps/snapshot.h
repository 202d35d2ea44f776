/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_SNAPSHOT_H
#define CL_STEPS_SNAPSHOT_H

#include "kinds/dump.h"

/*
 * With --leave-running a program is frozen for about as long as a fork takes: each process gets a
 * held copy, the program goes on, and the private pages are read from the copies.
 */

/* Whether copies can stand in for all processes of the held tree; says in *why what is against it,
 * then the pages are read from the frozen program. */
bool snapshot_possible(const struct dump *d, const char **why);
/* Makes the copies; the pages are read from them afterwards. When one cannot be made there are
 * none, and *made is false: no error unless the program itself is in doubt. */
int snapshot_take(struct dump *d, bool *made, struct error *err);
/* Ends the copies and lets the program reap them. The program may run. */
void snapshot_drop(struct dump *d);

#endif
