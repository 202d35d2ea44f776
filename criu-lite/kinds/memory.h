/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MEMORY_H
#define CL_KINDS_MEMORY_H

#include "kinds/dump.h"
#include "kinds/restore.h"
#include "memory/records.h"

/*
 * The memory of all tasks, as the coordinators see it. In the image: the Maps messages (row
 * "maps") and the objects that they refer to; at the end one RECORD_MEMORY message for the contents
 * of objects and one for the pages of tasks, each with the page records that it announces.
 */

/* ---- checkpoint, in the order of the calls; all tasks are held and their maps read ---- */

/* Writes the objects that are mapped and the Maps of every task. */
int memory_dump_maps(struct dump *d, struct error *err);
/* In a round from a program that runs on, with the maps written: tracks the areas of all tasks. */
int memory_dump_watch(struct dump *d, struct error *err);
/* Writes the contents of all objects. */
int memory_dump_objects(struct dump *d, struct error *err);
/* Writes the pages of all tasks, from their copies (task->twin) where they have one. */
int memory_dump_pages(struct dump *d, struct error *err);
/* Frees d->objects and what else is kept. */
void memory_dump_free(struct dump *d);

/* ---- restore, in the order of the calls ---- */

/* For a record of kind RECORD_MEMORY: reads the message. What it announces follows in the stream
 * and is read by memory_restore_objects(), _shared_pages() and _pages(), so the caller stops
 * reading here, and goes on after memory_restore_pages(). */
int memory_load(struct restore *r, const struct record *record, struct error *err);

/* KIND_OBJECT messages go here; taken over, also on failure. */
int memory_load_object(struct restore *r, const struct kind *kind, ProtobufCMessage *message,
		       struct error *err);

enum {
	/* Behind the agent, the puppets keep their vdso until it is put in its place. */
	MEMORY_PARK_SIZE = 256 * 1024,
};

/* An address where AGENT_SIZE + MEMORY_PARK_SIZE bytes are free in the maps of all tasks and of
 * this process; 0 when there is none. */
uint64_t memory_find_agent_hole(const struct restore *r);

/* Reads all that the last RECORD_MEMORY announces and checks it, without any puppet: `verify`. */
int memory_verify(struct restore *r, struct error *err);

/* Creates all objects, with the root puppet as the opener, and fills them. */
int memory_restore_objects(struct restore *r, struct error *err);

/*
 * Turns the map that a puppet was born with into the saved one. The root's is what it has from
 * this process: all of it but the agent goes, and its vdso is parked. Every other puppet's is that
 * of `t->birth`, whose maps must be restored, or if that one has none (a zombie) what it was born
 * with. No task changes its map otherwise until the rows "maps" and "mm" are put.
 */
int memory_restore_maps(struct restore_task *t, struct error *err);
/* Fills the pages that the task's children will share with it: to be called before their birth. */
int memory_restore_shared_pages(struct restore_task *t, struct error *err);
/* Fills all else, when all tasks are there. */
int memory_restore_pages(struct restore *r, struct error *err);
/*
 * A further round, whose tree is loaded. A puppet that goes on as `t` has the memory of `former`,
 * which is taken from it; memory_restore_maps() turns it into that of t, and stage 0 of its pages
 * is all that it gets.
 */
void memory_keep(struct restore_task *t, struct restore_task *former);
/* Takes over what r->kept says of the objects of the round before; the others are undone. They are
 * freed, also on failure. */
int memory_keep_objects(struct restore *r, struct restore_objects *former, struct error *err);
/* In the last round: whether the files that were mapped in one before are now what they were in the
 * freeze. */
int memory_check_files(struct restore *r, struct error *err);
/* The last of it, when descriptors and state are in place: seals, unlinks. */
int memory_finish(struct restore *r, struct error *err);
/* After a failure: takes back files and segments made. */
void memory_undo(struct restore *r);
void memory_free_task(struct restore_task *t);
void memory_restore_free(struct restore *r);
/* Forgets what was loaded of a tree, so that another one can be. */
void memory_forget(struct restore *r);

#endif
