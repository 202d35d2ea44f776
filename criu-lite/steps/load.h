/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_LOAD_H
#define CL_STEPS_LOAD_H

#include "images/image.pb-c.h"
#include "images/tree.pb-c.h"
#include "kinds/restore.h"

/*
 * Reading an image into what a restore works on. Every reference is checked here or by the room
 * that takes the message.
 */

/* The first record. *ret is owned by the caller. */
int load_header(struct restore *r, Image **ret, struct error *err);
/* Everything up to the contents of objects: the tree (*ret, owned by the caller) with r->tasks made
 * of it, objects, maps, descriptions, state. Of a pre-copied image, that of the next round
 * (r->in_rounds, r->last_round, r->kept); one that was given up is read over. */
int load_up_to_pages(struct restore *r, Tree **ret, struct error *err);
/* With the contents of objects read: what stands before the pages of the tasks. */
int load_up_to_task_pages(struct restore *r, struct error *err);
/* With all pages read: what rows dump late, and the seal, which says that the image was whole and
 * unchanged. */
int load_seal(struct restore *r, struct error *err);
void load_free_tasks(struct restore *r);
/* Parts of that: one task, the whole tree, messages by position in kinds_table. */
void load_free_task(struct restore_task *t);
void load_free_tree(struct restore *r);
void load_free_states(ProtobufCMessage **state);

#endif
