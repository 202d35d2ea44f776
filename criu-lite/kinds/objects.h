/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_OBJECTS_H
#define CL_KINDS_OBJECTS_H

#include "kinds/dump.h"
#include "kinds/restore.h"

/*
 * The engine of KIND_OBJECT rows: what is mapped or open and is more than an open file
 * description. Each inode has one object, whoever maps or opens it.
 */

/* ---- looking at one ---- */

/* Looks at what a descriptor leads to; the strings stay those of fd, which may have " (deleted)"
 * at the end of its link. */
void object_look_fd(struct object_look *ret, const struct fd_look *fd);
/* Looks at what an area of a process maps, by /proc/PID/map_files. -1 with errno when that cannot
 * be seen. */
int object_look_vma(struct object_look *ret, pid_t pid, int proc_fd, const struct vma *vma);
/* Looks at the program file of a process; the same. */
int object_look_exe(struct object_look *ret, pid_t pid, int proc_fd);
/* "map_files/1000-2000", "fd/7" or "exe": where /proc/PID shows it. */
const char *object_look_place(const struct object_look *look, char *text, size_t size);
/* Opens what was looked at, by a new open file description of ours; -1 with errno. */
int object_look_open(const struct object_look *look, int flags);
/* "process 12: descriptor 7 (/a/b)", "process 12: memory 1000-2000 (/a/b)": for messages, in text. */
const char *object_look_name(const struct object_look *look, char *text, size_t size);
/* Whether its path, as we or the process see it, leads to what was looked at. */
bool object_leads_there(const struct object_look *look);
/* Whether files of its file system can be made by open(2); the kernel has some of its own. */
bool object_can_be_made(const struct object_look *look);
/* The device of the kernel's own tmpfs, where memfd, shared anonymous and System V memory live. */
dev_t object_shmem_device(void);

/* The row that knows this, NULL if there is none. */
const struct kind *objects_recognise(const struct object_look *look);
/* Preflight: names what keeps it from being saved. */
int objects_check(const struct object_look *look, struct blockers *blockers, struct error *err);

/* ---- dump: see also dump_objects_get() in kinds/dump.h ---- */

struct dump_objects *dump_objects_new(struct dump *d);
void dump_objects_free(struct dump_objects *d);
struct dump *dump_objects_run(struct dump_objects *d);
/* A new object of this inode (st_ino 0: of none), found by the row itself, which makes its message;
 * who maps or opens the inode later meets it. NULL on error. */
struct dump_object *dump_objects_add(struct dump_objects *d, const struct kind *kind,
				     const struct stat *st, struct error *err);
/* The object behind an area of a task; NULL on error. */
struct dump_object *dump_objects_of_vma(struct dump_objects *d, struct dump_task *task,
					const struct vma *vma, struct error *err);
/* The object behind a descriptor; NULL on error. */
struct dump_object *dump_objects_of_fd(struct dump_objects *d, const struct fd_look *look,
				       struct error *err);
/* Objects in order of discovery; NULL past the last. */
struct dump_object *dump_objects_at(struct dump_objects *d, size_t index);

/* ---- restore ---- */

struct restore_objects *restore_objects_new(struct restore *r);
/* Closes and frees; what create made outside stays (see restore_objects_undo). */
void restore_objects_free(struct restore_objects *r);
struct restore *restore_objects_run(struct restore_objects *r);
/* Takes a KIND_OBJECT message over (also on failure). ERROR_IMAGE for an id out of turn. */
int restore_objects_load(struct restore_objects *r, const struct kind *kind,
			 ProtobufCMessage *message, struct error *err);
/* Creates those not created yet, through the opener. */
int restore_objects_create(struct restore_objects *r, struct error *err);
/* Seals, unlinks and such, when all mappings and descriptors are in place. */
int restore_objects_finish(struct restore_objects *r, struct error *err);
/* Takes back what outlives our descriptors: for a restore that failed. */
void restore_objects_undo(struct restore_objects *r);
struct restore_object *restore_objects_at(struct restore_objects *r, size_t index);

/* The size that an object's message tells: its contents end there. */
uint64_t restore_object_told_size(const struct restore_object *o);
/* Makes what was made of `former` that of `o`, which is not made yet: its content stays, its size
 * is that of o's message. */
int restore_object_keep(struct restore_object *o, struct restore_object *former, struct error *err);

/*
 * A new open file description of the object, opened by the puppet with these open(2) flags, and
 * handed to us; -1 on error. Such an ordinary file must be what it was at the checkpoint
 * (restore_object_check).
 */
int restore_object_open(struct restore_objects *r, struct restore_object *o,
			struct restore_task *opener, int flags, struct error *err);
/*
 * The path by which any puppet opens the object, for those who open many in one batch; they call
 * restore_object_check() themselves. NULL: it has none, restore_object_open() is the only way.
 */
const char *restore_object_path(const struct restore_object *o);
/* Whether an ordinary file has the size and time of modification of the checkpoint; one that was
 * opened with these flags only to be appended or written to may have grown. ERROR_FAILED. */
int restore_object_check(struct restore_object *o, int flags, struct error *err);
/* A descriptor of ours for mapping it, shared and writable or not; kept by the object. */
int restore_object_map_fd(struct restore_objects *r, struct restore_object *o, bool writable,
			  struct error *err);
/* Our own descriptor is not open for writing any more, the one for private mappings neither. */
int restore_object_stop_writing(struct restore_object *o, struct error *err);
/* Opens a path as the opener sees it, by ourselves; -1 with errno. */
int restore_objects_open_path(struct restore_objects *r, const char *path, int flags, mode_t mode);

#endif
