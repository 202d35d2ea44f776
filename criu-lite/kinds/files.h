/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FILES_H
#define CL_KINDS_FILES_H

#include "images/file_common.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"
#include "kinds/stdio.h"

/*
 * The descriptor engine: which open file descriptions a tree has, who holds each at which numbers,
 * and how each is opened once and handed out again. What a description is, the rows of scope
 * KIND_FILE know.
 *
 * Every message of such a row starts with
 *
 *     required uint32 id = 1;
 *     required FileCommon common = 2;
 *
 * Descriptor tables are KIND_TASK messages of the row "descriptors" (FdTable).
 */

extern const struct kind descriptors_kind;
extern const struct kind external_kind;

/* ---- preflight ---- */

/* Names every descriptor of these processes that cannot be saved. They run on: what is closed
 * meanwhile is passed over. closes_connections: those that leave the tree are not saved. */
int files_check(const struct task_look *tasks, size_t count, bool closes_connections,
		struct blockers *blockers, struct error *err);

/* ---- dump: for the coordinator ---- */

/* Sets run->files. Freed by dump_files_free(), which closes all duplicates. */
int dump_files_new(struct dump *run, struct error *err);
void dump_files_free(struct dump_files *d);
/* With every task held: finds all descriptions and their holders. Descriptors that cannot be saved
 * (new since preflight) make ERROR_BLOCKED. */
int dump_files_scan(struct dump_files *d, struct error *err);
/* Writes the messages of all descriptions, objects and queues before them, and keeps an FdTable
 * for each task by dump_state(). */
int dump_files_save(struct dump_files *d, struct error *err);

/* Before the tree is ended: connections end without a word. What cannot be silenced is logged. */
void dump_files_silence(struct dump_files *d);

/* ---- dump: for the kinds ---- */

/* Fills the generic part of a message: flags, position, and who gets signals for it. *ret is
 * initialised here and owns nothing. */
int dump_file_common(struct dump_files *d, struct dump_file *f, FileCommon *ret,
		     struct error *err);
/* The standard descriptor (0, 1 or 2) that a description is, or that has the same inode; -1 if
 * none. */
int dump_file_standard(struct dump_files *d, struct dump_file *f);
/* Descriptions in order of discovery; NULL past the last. May grow during dump_files_save(). */
struct dump_file *dump_files_at(struct dump_files *d, size_t index);
/* Every description of this inode: call with after = NULL first, then with the last answer. NULL
 * after the last. */
struct dump_file *dump_files_next_of_inode(struct dump_files *d, dev_t dev, ino_t ino,
					   const struct dump_file *after);
/* Whether file locks were seen at descriptors of a process. */
bool dump_files_have_locks(const struct dump_files *d, pid_t pid);
/* "process 12: descriptor 7 (socket:[1234])" for messages; in a buffer of the description. */
const char *dump_file_name(struct dump_file *f);

/* Every description of the tree that has this inode (but for eventfds): call with after = NULL
 * first, then with the last answer. NULL after the last. */
const struct fd_look *fd_scan_by_inode(const struct fd_scan *scan, dev_t dev, ino_t ino,
				       const struct fd_look *after);
/* Every description of the tree in turn, called likewise. */
const struct fd_look *fd_scan_next(const struct fd_scan *scan, const struct fd_look *after);
/* The description of a look that belongs to the tree being saved. */
struct dump_file *dump_file_of_look(const struct fd_look *look);
/* Whether descriptors wait in queues of sockets: before the dump has found them, the other end of
 * anything may be among them. */
bool fd_scan_in_flight(const struct fd_scan *scan);
/* Whether the process is one of the tree. */
bool fd_scan_has_process(const struct fd_scan *scan, pid_t pid);
/* Whether connections may leave the tree: their network can be locked, or they are not saved. A
 * preflight finds it out once, as it takes the kernel milliseconds; later the lock itself tells. */
bool fd_scan_may_leave(const struct fd_scan *scan);
/* What a number of a process refers to; NULL when it is closed. */
const struct fd_look *fd_scan_at(const struct fd_scan *scan, pid_t pid, int number);
/* All descriptors of the tree that is being saved. */
const struct fd_scan *dump_files_tree(const struct dump_files *d);
/* Our duplicate of a descriptor (pidfd_open, pidfd_getfd), for questions in preflight. The caller
 * closes it. -1 with errno when it or the process is gone. */
int fd_look_duplicate(const struct fd_look *look);

/* ---- restore: for the coordinator ---- */

/* Sets run->files. stdio_file belongs to STDIO_FILE. Freed by restore_files_free(), which closes
 * our descriptors. */
int restore_files_new(struct restore *run, enum stdio_policy stdio, const char *stdio_file,
		      struct error *err);
/* Forgets the descriptions that were loaded; nothing is made of them yet. */
void restore_files_forget(struct restore_files *r);
void restore_files_free(struct restore_files *r);
/* Takes over an unpacked message of a KIND_FILE row, also when it fails. */
int restore_files_add(struct restore_files *r, const struct kind *kind, ProtobufCMessage *message,
		      struct error *err);
/* Once all messages (also those of the tasks) are loaded and before anything is made: checks ids,
 * numbers and references, and that the limits allow them. Chooses each description's opener. */
int restore_files_check(struct restore_files *r, struct error *err);
/* With all puppets and objects there: opens every description and runs the phases up to link. */
int restore_files_open(struct restore_files *r, struct error *err);
/* Takes back what outlives our descriptors: for a restore that failed since. */
void restore_files_undo(struct restore_files *r);
/* Puts every descriptor at its number in every puppet. task->service_fd moves to a number that
 * the task does not use. */
int restore_files_install(struct restore_files *r, struct error *err);
/* What depends on who calls: locks, owners (the rows' installed()). */
int restore_files_settle(struct restore_files *r, struct error *err);
/* The rows' let_go() and wake(). */
int restore_files_let_go(struct restore_files *r, struct error *err);
int restore_files_wake(struct restore_files *r, struct error *err);
/* Last: closes the hand-over socket in a puppet. Appends to b, which the caller runs. */
void restore_files_drop_service(const struct restore_task *t, struct batch *b);

/* ---- restore: for the kinds ---- */

/* plan() returns this to have create() called for this description instead. One plan() takes at
 * most FILE_PLAN_RECORDS records and FILE_PLAN_DATA bytes of the batch. */
enum { FILE_NOT_PLANNED = -2, FILE_PLAN_RECORDS = 16, FILE_PLAN_DATA = 8192 };

/* The generic part of a description's message. */
const FileCommon *restore_file_common(const struct restore_file *f);
/* Takes over descriptor `number` of a puppet, which is closed there before the phase ends; -1 on
 * error. For calls that return more than one (pipe2, socketpair). */
int restore_fetch(struct restore_files *r, struct restore_task *t, int number, struct error *err);
/* What a kind keeps of a description, f->data, `size` bytes: a copy of *fresh at the first call;
 * NULL without memory. It is freed with the description. */
void *restore_file_data(struct restore_file *f, const void *fresh, size_t size,
			struct error *err);
/* F_SETFL of the saved flags as far as fcntl(2) takes them; O_ASYNC comes with the owner later. */
int restore_file_set_flags(struct restore_file *f, struct error *err);
/* The lowest number at which a task holds the description, -1 if it does not. */
int restore_file_number(const struct restore_files *r, const struct restore_file *f,
			const struct restore_task *t);
/* "process 12: descriptor 7" of its first holder, for messages; in a buffer of the description. */
const char *restore_file_name(struct restore_file *f);
/* What --stdio says; *ret_file is set for STDIO_FILE. */
enum stdio_policy restore_files_stdio(const struct restore_files *r, const char **ret_file);
/* Descriptions in the order of the image; NULL past the last. */
struct restore_file *restore_files_at(struct restore_files *r, size_t index);

/* Puts our descriptors at exactly these numbers (all different) of a puppet that holds nothing but
 * its service socket, which moves out of the way; sorts the entries. */
struct placement {
	int fd;		/* ours */
	int number;	/* there */
	bool cloexec;
};
int restore_place(struct restore_task *t, struct placement *entries, size_t count,
		  struct error *err);
/* Closes everything but the service socket in a puppet. */
int restore_clear(struct restore_task *t, struct error *err);

#endif
