/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_TREE_DUMP_H
#define CL_STEPS_TREE_DUMP_H

#include "kinds/dump.h"

/* Names the image, d->image_id, and writes its first record: what is saved, when and on what. */
int header_dump(struct dump *d, struct error *err);
/* Puts the held tasks into the order in which a restore makes them (tree_plan), tells each whose
 * memory it will be born with, and writes the Tree record. A tree that cannot be rebuilt is
 * refused. */
int tree_dump(struct dump *d, struct error *err);
/* How the tree can be made again. */
struct tree_plan;
int tree_dump_plan(const struct dump *d, struct tree_plan *plan, struct error *err);

#endif
