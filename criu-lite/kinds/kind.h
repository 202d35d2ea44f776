/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_KIND_H
#define CL_KINDS_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

/*
 * One kind of kernel object is one file: its dump and its restore side by side, ending in one
 * `const struct kind` row. The row is listed in kinds/table.c, whose order is the order in which
 * state is put back. inspect, check and the support matrix are printed from the rows.
 */

struct batch;
struct dump_thread;
struct restore_thread;
struct dump_files;
struct dump_file;
struct restore_files;
struct restore_file;
struct dump_objects;
struct dump_object;
struct restore_objects;
struct restore_object;
struct fd_look;
struct fd_scan;
struct object_look;
struct blockers;
struct task_look;
struct container_look;
struct dump;
struct restore;

enum kind_scope {
	KIND_TASK,	/* state of a process; its message starts with `required uint32 pid = 1` */
	KIND_THREAD,	/* state of a thread; `required uint32 tid = 1` */
	KIND_OBJECT,	/* an inode-like thing with or without content, shared by mappings and
			 * descriptors: file, deleted file, memfd, shared memory; `required uint32
			 * id = 1` */
	KIND_FILE,	/* an open file description; `required uint32 id = 1` */
	KIND_CONTAINER,	/* what the tree has as a whole: namespaces, mounts, network, cgroups; an
			 * image has at most one message of each */
};

/* Where a kind remembers, between ask and take, what it appended to the batch. */
struct ask {
	int record;		/* first record */
	uint64_t address[4];	/* of data in the batch */
};

/* KIND_TASK (called with the thread that speaks for the process) and KIND_THREAD. */
struct state_ops {
	/* Preflight, with the program running: names what cannot be saved. May be NULL. */
	int (*check)(const struct task_look *look, struct blockers *blockers, struct error *err);
	/* Dump, thread held: appends the questions that only the thread itself can answer. May be
	 * NULL. Nothing asked may block, change or leave anything. */
	int (*ask)(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err);
	/* Dump: makes the message of the answers and of what /proc and ptrace tell, and hands it to
	 * dump_state(). */
	int (*take)(struct dump_thread *t, const struct batch *b, const struct ask *ask,
		    struct error *err);
	/* Restore: appends the calls that give the puppet this state. Memory, descriptors and all
	 * threads are there already. May be NULL. */
	int (*put)(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		   struct error *err);
	/* Restore: what is done from outside or needs the results, after the batch has run. May be
	 * NULL. */
	int (*finish)(struct restore_thread *t, const ProtobufCMessage *message,
		      const struct batch *b, struct error *err);
};

/* KIND_FILE. The restore calls are phases over all descriptions, in the order given here; each
 * may be NULL, but one of plan and create. */
struct file_ops {
	bool (*recognise)(const struct fd_look *look);
	/* Whether its other end (of a pipe, socket or terminal) is held by somebody outside of the
	 * tree, or it is a file that the tree cannot reach. Then a standard descriptor becomes kind
	 * "external", and anything else is a blocker. May be NULL: such a kind is never outside. */
	bool (*outside)(const struct fd_scan *scan, const struct fd_look *look);
	/* Who that is, for people: "process 12 (sshd)"; malloc'ed, NULL when it is not known. May
	 * be NULL. */
	char *(*outside_who)(const struct fd_look *look);
	/* Preflight, with the program running: names what of this descriptor cannot be saved. */
	int (*check)(const struct fd_look *look, struct blockers *blockers, struct error *err);
	/* The same, for what can only be said with a view of all descriptors (files.h). */
	int (*check_tree)(const struct fd_scan *scan, const struct fd_look *look,
			  struct blockers *blockers, struct error *err);
	/* Dump: makes the message and hands it to dump_file_message(). */
	int (*dump)(struct dump_files *d, struct dump_file *f, struct error *err);
	/* The tree is about to be ended, because its image is complete: nobody else shall be told
	 * that this description is closed. May be NULL. */
	int (*silence)(struct dump_files *d, struct dump_file *f, struct error *err);

	/* Restore and verify, before anything is made: checks the message's references and bounds;
	 * ERROR_IMAGE. May be NULL. */
	int (*verify)(struct restore_files *r, struct restore_file *f, struct error *err);
	/* Create, simple form: appends calls to the opener's batch; returns the index of the record
	 * whose result is the descriptor, FILE_NOT_PLANNED (files.h), or -1. */
	int (*plan)(struct restore_files *r, struct restore_file *f, struct batch *b,
		    struct error *err);
	/* Create, general form: must leave f->fd set (restore_open() helps). */
	int (*create)(struct restore_files *r, struct restore_file *f, struct error *err);
	int (*connect)(struct restore_files *r, struct restore_file *f, struct error *err);
	int (*fill)(struct restore_files *r, struct restore_file *f, struct error *err);
	int (*in_flight)(struct restore_files *r, struct restore_file *f, struct error *err);
	int (*link)(struct restore_files *r, struct restore_file *f, struct error *err);
	/* After the descriptors are installed in all tasks: what depends on who calls (locks,
	 * owners, controlling terminals). */
	int (*installed)(struct restore_files *r, struct restore_file *f, struct error *err);
	/* Every task is complete and held, and the tree about to be let go, also if we die: this
	 * must be able to do without us. Packets are still locked out. */
	int (*let_go)(struct restore_files *r, struct restore_file *f, struct error *err);
	/* Packets flow again: the world outside may know that this is here. */
	int (*wake)(struct restore_files *r, struct restore_file *f, struct error *err);
	/* When the restore fails after create: take back what outlives the descriptors. */
	void (*undo)(struct restore_files *r, struct restore_file *f);
};

/* KIND_OBJECT. */
struct object_ops {
	bool (*recognise)(const struct object_look *look);
	int (*check)(const struct object_look *look, struct blockers *blockers, struct error *err);
	/* Dump: makes the message and hands it to dump_object_message(). */
	int (*dump)(struct dump_objects *d, struct dump_object *o, const struct object_look *look,
		    struct error *err);
	/* Restore: must leave o->fd open on the object (readable, and writable where it has
	 * content), made by the opener; contents are filled in afterwards. One with a path and
	 * without content may leave it at -1. */
	int (*create)(struct restore_objects *r, struct restore_object *o, struct error *err);
	/* After everything else was restored, just before the program runs (seals, unlink …). */
	int (*finish)(struct restore_objects *r, struct restore_object *o, struct error *err);
	/* The path by which any puppet opens it (restore_object_path()); may be NULL. */
	const char *(*path)(const struct restore_object *o);
	/* When the restore fails after create: take back what outlives the descriptors. */
	void (*undo)(struct restore_objects *r, struct restore_object *o);
};

/* KIND_CONTAINER (kinds/container.h). All but `prepare` and `undo` are called by the
 * controller that stands in the tree's own namespaces: ids, paths, addresses and /proc are
 * those of the tree. Each may be NULL. */
struct container_ops {
	/* CLONE_NEW… of the namespace that the message is about, which the tree must have of its
	 * own: without one it would be that of the machine. 0: any tree may have it. */
	uint64_t of;
	/* A tree that has such a namespace has the message, too. */
	bool always;
	/* Preflight, with the program running: names what cannot be saved. */
	int (*check)(const struct container_look *look, struct blockers *blockers,
		     struct error *err);
	/* Dump, every task held, before descriptions and memory: makes the message and hands it to
	 * dump_container(). A tree that shares this with us (run->container) has none. */
	int (*dump)(struct dump *d, struct error *err);
	/* The same once all timers have been read: a clock that was read before would have them
	 * expire early. */
	int (*dump_timed)(struct dump *d, struct error *err);
	/* The same at the very end, behind all pages: what gathers until the image is complete.
	 * Such a message is there in finish and open, not before. */
	int (*dump_late)(struct dump *d, struct error *err);
	/* Restore, in the namespaces of the caller, before anything of the tree is there: checks
	 * the message against this machine (ERROR_IMAGE, ERROR_BLOCKED), opens what lies outside.
	 * What it keeps in restore_container_slot() is there in build and finish, too. */
	int (*prepare)(struct restore *r, const ProtobufCMessage *message, struct error *err);
	/* Restore, with no task of the tree but the first puppet, which holds the namespaces. */
	int (*build)(struct restore *r, const ProtobufCMessage *message, struct error *err);
	/*
	 * Restore of a pre-copied tree, with a further round loaded: what was built of `former`,
	 * the message of the round before, becomes what `message` says. Afterwards nothing must
	 * point into the objects of that round. NULL: what was built serves on if the messages are
	 * equal, else the restore fails. A row without build just gets the new message, which its
	 * prepare checks first.
	 */
	int (*again)(struct restore *r, const ProtobufCMessage *former,
		     const ProtobufCMessage *message, struct error *err);
	/* Restore, every task complete and held: the last that may fail. */
	int (*finish)(struct restore *r, const ProtobufCMessage *message, struct error *err);
	/* Restore, it is decided that the tree runs here, and runs in a moment: now the world may
	 * meet it (packets pass, addresses are announced). What does not work is only told. */
	void (*open)(struct restore *r, const ProtobufCMessage *message);
	/* After a failure: takes back what prepare has made. What is in the namespaces goes with
	 * them. */
	void (*undo)(struct restore *r, const ProtobufCMessage *message);
};

struct kind {
	const char *name;	/* of the kind, its message's file, its test and in messages */
	uint16_t record;	/* its number in the image, never used for anything else again */
	enum kind_scope scope;
	const ProtobufCMessageDescriptor *message;
	const char *help;	/* one line: what of it is saved */
	const struct state_ops *state;
	const struct file_ops *file;
	const struct object_ops *object;
	const struct container_ops *container;
};

/* All rows, in restore order, ended by NULL. */
extern const struct kind *const kinds_table[];

/* NULL when no row has that number. */
const struct kind *kind_by_record(uint16_t record);
/* Position of a row in kinds_table. */
size_t kind_index(const struct kind *kind);
size_t kinds_count(void);
/* The value of a message's field 1 (pid, tid or id); 0 where it has none. */
uint32_t kind_message_id(const ProtobufCMessage *message);
/* Whether two messages of one type say the same; false without memory. */
bool kind_messages_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

#endif
