/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_OBJECTS_H
#define CL_KINDS_OBJECTS_H

#include "kinds/dump.h"
#include "kinds/restore.h"

/*
 * The engine of KIND_OBJECT rows: what is mapped or open and is more than an open file
 * description. Each inode has one object, whoever maps or opens it.
 */

/* ---- dump: see also dump_objects_get() in kinds/dump.h ---- */

/* Made on first use by memory_dump_maps(); the caller frees with dump_objects_free(). */
struct dump_objects *dump_objects_new(struct dump *d);
void dump_objects_free(struct dump_objects *d);
struct dump *dump_objects_run(struct dump_objects *d);
/* The object behind an area of a task, found by /proc/PID/map_files; NULL on error. */
struct dump_object *dump_objects_of_vma(struct dump_objects *d, struct dump_task *task,
					const struct vma *vma, struct error *err);
/* The object behind a descriptor; fills in the rest of the look. NULL on error. */
struct dump_object *dump_objects_of_fd(struct dump_objects *d, const struct fd_look *look,
				       struct error *err);
/* Whether a row knows what this descriptor or area (map_files) leads to: to be asked by `recognise`
 * of descriptor kinds and by preflight. */
const struct kind *objects_recognise(const struct object_look *look);
/* Names what keeps the object from being saved. */
int objects_check(const struct object_look *look, struct blockers *blockers, struct error *err);
/* Looks at what an fd_look leads to; the strings stay those of fd. */
void object_look_fd(struct object_look *ret, const struct fd_look *fd);

/* ---- restore ---- */

struct restore_objects *restore_objects_new(struct restore *r);
/* Closes and frees; what create made outside stays (see restore_objects_undo). */
void restore_objects_free(struct restore_objects *r);
struct restore *restore_objects_run(struct restore_objects *r);
/* Takes a KIND_OBJECT message over (also on failure). ERROR_IMAGE for an id that was there. */
int restore_objects_load(struct restore_objects *r, const struct kind *kind,
			 ProtobufCMessage *message, struct error *err);
/* Creates those not created yet, through the opener. */
int restore_objects_create(struct restore_objects *r, struct error *err);
/* Seals, unlinks and such, when all mappings and descriptors are in place. */
int restore_objects_finish(struct restore_objects *r, struct error *err);
/* Takes back what outlives our descriptors: for a restore that failed. */
void restore_objects_undo(struct restore_objects *r);

/*
 * A new open file description of the object, opened by the puppet with these open(2) flags, and
 * handed to us; -1 on error. The size and modification time of an ordinary file are checked
 * against the checkpoint first: one that is only appended or written to may have grown.
 */
int restore_object_open(struct restore_objects *r, struct restore_object *o,
			struct restore_task *opener, int flags, struct error *err);
/* A descriptor of ours for mapping it, shared and writable or not; kept by the object. */
int restore_object_map_fd(struct restore_objects *r, struct restore_object *o, bool writable,
			  struct error *err);

#endif
