/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_TREE_RESTORE_H
#define CL_STEPS_TREE_RESTORE_H

#include "images/tree.pb-c.h"
#include "kinds/restore.h"

/* Whether every process, session and thread id of the image can be had here; names who has it. */
int tree_check_ids(const struct restore *r, struct error *err);
/* Whether the tree can be made at all. */
int tree_verify(const struct restore *r, struct error *err);
/* Makes the puppets as tree_plan says, each with its map and the pages that its children share. */
int tree_restore(struct restore *r, const Tree *tree, struct error *err);
/* The threads, when memory and descriptors are there. */
int tree_restore_threads(struct restore *r, struct error *err);
/* Zombies end, and leaders that are gone; stopped tasks stop. */
int tree_restore_exits(struct restore *r, const Tree *tree, struct error *err);

#endif
