/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_RESTORE_H
#define CL_KINDS_RESTORE_H

#include "base/array.h"
#include "images/stream.h"
#include "kernel-compat/arch/cpu.h"
#include "kinds/container.h"
#include "kinds/kind.h"
#include "network/lock.h"
#include "tracee/agent.h"

/* What the restore side of the kinds works on. */

struct restore;
struct restore_task;
struct restore_memory;
struct task_memory;

struct restore_thread {
	struct restore_task *task;
	pid_t tid;		/* as saved; inside its pid namespace */
	struct tracee tracee;
	/* Messages of KIND_THREAD rows by position in kinds_table; owned. */
	ProtobufCMessage **state;
};

struct restore_task {
	struct restore *restore;
	pid_t pid, sid, pgid;
	size_t number;		/* its place among .tasks of the run */
	struct restore_task *parent;	/* NULL for the root */
	struct restore_task *birth;	/* whose memory it is born with; NULL: it starts empty */
	bool zombie;
	bool shares_fs;			/* working directory and umask, with .birth */
	/* [0] is the leader; once it has exited again (leader_gone) it is the last. */
	ARRAY_OF(struct restore_thread *) threads;
	bool leader_gone;
	ProtobufCMessage **state;	/* messages of KIND_TASK rows by position in kinds_table */
	struct agent agent;
	int pidfd;
	int service_fd;		/* number of the hand-over socket in the puppet */
	struct task_memory *memory;	/* kinds/memory_restore.c */
	bool kept;		/* a puppet of the round before goes on as this task … */
	pid_t former_pgid;	/* … that was in this group */
};

struct restore_options;

struct restore {
	const struct restore_options *options;
	struct container container;
	ProtobufCMessage **container_state;	/* messages of KIND_CONTAINER rows, as above */
	ARRAY_OF(ProtobufCMessage **) former_states;	/* those of rounds before, which may still
							 * be referred to */
	void **container_slots;		/* restore_container_slot() */
	bool detached;		/* we end while the tree runs, and are its root's parent */
	bool only_look;		/* nothing is restored: what this machine has does not matter */
	struct stream_reader *in;
	ARRAY_OF(struct restore_task *) tasks;	/* in tree-plan order, parents first */
	ARRAY_OF(struct restore_thread *) by_id;	/* all threads, by tid */
	struct restore_files *files;
	struct restore_objects *objects;
	struct restore_memory *memory;	/* kinds/memory_restore.c */
	/* A pre-copied image: what was read last is a round, and the last one or not. */
	bool in_rounds, last_round;
	struct Kept *kept;	/* what of the round before stays in it; NULL: nothing was said */
	/* Whether the tree runs here is decided when all is there: what is still used elsewhere is
	 * replaced after that. */
	bool decides_later;
	ARRAY_OF(struct unix_late_name) late_names;
	ARRAY_OF(struct late_lock) late_locks;	/* kinds/task/late_locks.h */
	struct late_owners *late_owners;
	struct guard *guard;
	struct replayer *replayer;	/* lets held packets arrive, or NULL */
	struct held_packets *held;	/* those that are to arrive yet, or NULL */
	struct takeover *takeover;	/* announces the tree's addresses, or NULL */
	char image_lock[LOCK_NAME];	/* what a lock is called that stayed for the image … */
	uint32_t image_mark;	/* … and what passes it */
	struct network_lock lock;	/* kinds/socket/connections.h */
	int service[2];		/* [0] ours, [1] the one that puppets inherit */
	/* A session whose terminal is outside gets a pseudo-terminal in its place, if somebody will
	 * copy between that and ours: its master, -1 while there is none. */
	bool relays;
	int relay;
	struct arch_cpu cpu, saved_cpu;	/* this processor, and that of the image */
	uint64_t area;		/* address of the agent in all puppets and in us; 0: not yet */
};

/* The message of a row for a task or thread, NULL when the image has none. */
const ProtobufCMessage *restore_task_state(const struct restore_task *t, const struct kind *kind);
const ProtobufCMessage *restore_thread_state(const struct restore_thread *t,
					     const struct kind *kind);

/* That of a KIND_CONTAINER row. */
const ProtobufCMessage *restore_container_state(const struct restore *r, const struct kind *kind);

/* Runs a batch in the puppet's leader. */
int restore_run(struct restore_task *t, struct batch *b, struct error *err);

/* ---- hand-over of descriptors ---- */

/* Fetches descriptor `number` of the puppet into us; -1 on error. The puppet keeps its own. */
int puppet_fetch_fd(struct restore_task *t, int number, struct error *err);
/* The same, and closes the puppet's. */
int puppet_take_fd(struct restore_task *t, int number, struct error *err);

/* Sends `count` (at most 253) of our descriptors to the puppet and appends to b the call that
 * receives them there; b must be run in that puppet next. After that puppet_received() tells the
 * number that descriptor `index` got. */
struct hand_over {
	uint64_t control;	/* address of the control message in the batch */
	int count, record;
};
int puppet_send_fds(struct restore_task *t, const int *fds, int count, struct batch *b,
		    struct hand_over *ret, struct error *err);
int puppet_received(const struct batch *b, const struct hand_over *h, int index);

/* ---- descriptors ---- */

struct restore_file {
	uint32_t id;
	const struct kind *kind;
	ProtobufCMessage *message;
	struct restore_task *opener;	/* the puppet that opens it: its first holder */
	int fd;			/* ours, once created */
	void *data;		/* the kind's own, freed with free() */
};

/* NULL when the image has no such description. */
struct restore_file *restore_files_get(struct restore_files *r, uint32_t id);
/* Runs b in the opener, takes the descriptor that `record` returned over to f->fd and closes it
 * there. */
int restore_open(struct restore_files *r, struct restore_file *f, struct batch *b, int record,
		 struct error *err);
/* For kinds whose descriptions share something (both ends of a pipe): a slot by kind and key,
 * NULL at first use, that lives as long as the restore. NULL without memory. */
void **restore_files_shared(struct restore_files *r, const struct kind *kind, uint64_t key);
/* The run that this belongs to. */
struct restore *restore_files_run(struct restore_files *r);

/* ---- objects ---- */

struct restore_object {
	uint32_t id;
	const struct kind *kind;
	ProtobufCMessage *message;
	int fd;			/* ours */
	bool has_content;
	uint64_t size;
	void *data;		/* the kind's own, freed with free() */
};

/* NULL when the image has no such object. */
struct restore_object *restore_objects_get(struct restore_objects *r, uint32_t id);
/* The puppet that opens objects: the root. */
struct restore_task *restore_objects_opener(struct restore_objects *r);

#endif
