/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_IPC_SYSV_H
#define CL_KINDS_IPC_SYSV_H

#include <sys/ipc.h>

#include "guard/guard.h"
#include "images/sysv_ipc.pb-c.h"
#include "kinds/objects.h"
#include "proc/sysvipc.h"

/*
 * System V IPC: what segments, semaphores and message queues have in common.
 *
 * Nothing in a process tells which semaphores and queues it uses. A tree's
 * are those that one of its processes was the last to operate on; and those whose last operator is
 * no more (or that nobody has operated on yet), made by a user of the tree after the tree began.
 * In an IPC namespace of its own all are the tree's, also segments that nobody has attached.
 */

extern const struct kind sysv_sem_kind, sysv_msg_kind;

/* The devices by which dump_objects_get() tells these objects from files; the inode is the id. */
enum { SYSV_SEM_DEVICE = -2, SYSV_MSG_DEVICE = -3 };

struct sysv_tree {
	ARRAY_OF(struct sysv_member {
		pid_t pid;
		uid_t uid;	/* effective */
	}) members;
	int64_t began;	/* seconds since 1970 */
	bool owns_all;	/* the IPC namespace is the tree's own, and so is what is in it */
};

enum sysv_claim { SYSV_FOREIGN, SYSV_PRESUMED, SYSV_USED };

/* Whose an object is, with the pids of its last operators (0: none). */
enum sysv_claim sysv_claim(const struct sysv_tree *tree, const pid_t *operators, size_t count,
			   const struct sysvipc_perm *perm, int64_t changed);
/* Our descriptor of /proc for the lists. -1 on error. */
int sysv_open_proc(struct error *err);

/* Calls each() with every set or queue of the tree. */
struct sysv_found {
	int id;
	enum sysv_claim claim;
	const struct sysvipc_perm *perm;
	uint64_t bytes;		/* waiting in a queue */
};
typedef int (*sysv_visitor)(void *context, const struct sysv_found *found, struct error *err);
int sysv_sem_each(const struct sysv_tree *tree, sysv_visitor each, void *context,
		  struct error *err);
int sysv_msg_each(const struct sysv_tree *tree, sysv_visitor each, void *context,
		  struct error *err);

/* ---- for the coordinators ---- */

/* Writes all sets and queues of the tree as objects. */
int sysv_dump(struct dump *d, struct error *err);
/* Names what cannot be saved. */
int sysv_check(const struct task_look *tasks, size_t count, struct blockers *blockers,
	       struct error *err);

/* ---- messages ---- */

void sysv_owner_fill(SysvOwner *ret, const struct ipc_perm *perm, enum sysv_claim claim);

/* ---- restore ---- */

/* How a sort of objects is made. */
struct sysv_sort {
	const char *name;	/* for messages: "semaphores", "message queue" */
	const char *next_id;	/* file below /proc/sys/kernel */
	char remove;		/* option letter of ipcrm(1) */
	enum guard_thing guard;
	long get, control;	/* system calls */
	bool has_size;		/* get has a size: msgget has none */
	bool has_number;	/* control has a number before the command: semctl */
};

/* An object to be made again. */
struct sysv_making {
	const struct sysv_sort *sort;
	uint32_t id;
	const SysvOwner *owner;
	uint64_t size;		/* of a segment, or number of semaphores */
	int flags;		/* for get, beside the permissions */
};
/* Looks whether the object is there, by IPC_STAT into *ret_ds (of ds_size bytes, an ipc_perm at its
 * start). 1: with the same key and creator; 0: there is none; -1: another has its id. */
int sysv_find(struct restore_task *opener, const struct sysv_making *m, void *ret_ds,
	      size_t ds_size, struct error *err);
/* The error of an id that something else has. */
int sysv_taken(const struct sysv_making *m, int os_error, struct error *err);
/* Makes it, with its id, key and creator, and sets the rest by IPC_SET of *ds, whose ipc_perm is
 * filled in here. */
int sysv_make(struct restore_task *opener, const struct sysv_making *m, void *ds, size_t ds_size,
	      struct error *err);

#endif
