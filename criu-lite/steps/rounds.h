/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_ROUNDS_H
#define CL_STEPS_ROUNDS_H

#include "images/tree.pb-c.h"
#include "kinds/restore.h"

/*
 * Of a pre-copied image, whose first round is restored up to its pages: takes the further rounds,
 * turning the puppets into those of each in turn, up to and with the pages of the last one. *tree
 * is that of the last round read, also on failure.
 */
int rounds_restore(struct restore *r, Tree **tree, struct error *err);
/* The same for one who only looks: reads and checks the pages of this round and goes on to the next
 * one. 1, or 0 when this was the last one, or -1. */
int rounds_look(struct restore *r, Tree **tree, struct error *err);

#endif
