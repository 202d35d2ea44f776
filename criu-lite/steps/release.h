/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_RELEASE_H
#define CL_STEPS_RELEASE_H

#include "images/tree.pb-c.h"
#include "kinds/restore.h"

/* Gives every thread its registers and takes the agent out of every puppet. Nothing can be run in
 * them afterwards. */
int release_prepare(struct restore *r, const Tree *tree, struct error *err);
/* Lets all go: from the first on the program runs, and that it ends itself is no error any more. */
int release_go(struct restore *r, const Tree *tree, struct error *err);

#endif
