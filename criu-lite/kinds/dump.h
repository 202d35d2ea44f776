/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_DUMP_H
#define CL_KINDS_DUMP_H

#include <sys/stat.h>

#include "base/array.h"
#include "base/io.h"
#include "freeze/freezer.h"
#include "images/stream.h"
#include "kernel-compat/restart_block.h"
#include "kinds/blockers.h"
#include "kinds/container.h"
#include "kinds/kind.h"
#include "network/lock.h"
#include "proc/fdinfo.h"
#include "proc/maps.h"
#include "proc/stat.h"
#include "proc/status.h"
#include "tracee/agent.h"

/* What the dump side of the kinds works on. */

struct dump;
struct dump_task;
struct dump_memory;

struct dump_thread {
	struct dump_task *task;
	pid_t tid;
	int proc_fd;		/* /proc/PID/task/TID */
	struct tracee tracee;
	struct restart_block restart;	/* of its call, kinds/task/interrupted.h */
	struct proc_status status;	/* as read while held */
};

struct dump_task {
	struct dump *dump;
	pid_t pid;
	int proc_fd;		/* /proc/PID; with a leader that is gone /proc/TID of threads[0] */
	int pidfd;
	bool zombie;		/* has no memory, threads or descriptors any more … */
	uid_t zombie_uid;	/* … but an owner, as has a leader that is gone */
	gid_t zombie_gid;
	/* Threads that live; [0] is the one that speaks for the process: the leader, or another one
	 * when the leader has exited (leader_gone). */
	ARRAY_OF(struct dump_thread) threads;
	bool leader_gone;
	struct dump_task *birth;	/* whose memory it will be born with (NULL: the root) */
	bool shares_fs;		/* working directory and umask with .birth */
	struct proc_stat stat;	/* of the process */
	struct vma_list maps;	/* from smaps, with VmFlags, without our own areas */
	struct agent agent;
	struct agent_note *note;	/* what the guard knows of it */
	/* A held copy that has the pages when the program runs on (steps/snapshot.h); tid 0: none,
	 * the pages are the task's own. */
	struct tracee twin;
	int twin_proc_fd;	/* its /proc/PID */
	/* Pre-copy (kinds/memory_rounds.h): what is there of it on the other side; it is the
	 * rounds'. */
	struct round_task *round;
	bool kept;		/* and that goes on as this task */
};

struct checkpoint_options;

struct dump {
	const struct checkpoint_options *options;
	struct container container;
	struct stream_writer *out;
	/* Parents before children. Pointers, so that threads keep their addresses. */
	ARRAY_OF(struct dump_task *) tasks;
	struct dump_files *files;
	struct dump_objects *objects;
	struct dump_memory *memory;	/* kinds/memory_dump.c */
	struct gadget_cache gadgets;
	struct restart_reader restarts;
	struct guard *guard;
	struct freezers freezers;	/* of the tree's own cgroups */
	struct hold *hold;	/* of packets, kinds/net/held_packets.h; NULL: none are held … */
	struct held_packets *taken;	/* … and what was taken of them, … */
	size_t told;		/* … so many of which went into messages */
	uint8_t image_id[16];
	/* Packets of connections that leave the tree are held off, kinds/socket/connections.h. */
	struct network_lock lock;
	struct network_lock gate;	/* steps/gate.h */
	struct lock_flows flows;
	bool closes_connections;	/* such connections are not saved */
	bool runs_on;		/* the tree, here, once it was saved */
	/* Its .ports: at these somebody from outside of the tree waits to be accepted. */
	struct lock_flows awaited;
	struct memory_rounds *rounds;	/* of a pre-copy, else NULL; the coordinator's */
	struct buffer state;	/* packed KIND_TASK and KIND_THREAD records, written late */
};

/* Keeps a message of a KIND_TASK or KIND_THREAD row for the final part of the image. */
int dump_state(struct dump *d, const struct kind *kind, const ProtobufCMessage *message,
	       struct error *err);

/* ---- what preflight shows of a process that runs ---- */
struct task_look {
	pid_t pid;
	int proc_fd;
	const struct proc_status *status;
	const struct proc_stat *stat;
	const struct vma_list *maps;
	const struct task_look *before;	/* the process that was asked before; NULL: the first */
};

/* ---- descriptors ---- */

/* What /proc tells of one descriptor. */
struct fd_look {
	pid_t pid;		/* whose; our own pid for descriptors in flight */
	int number;
	int proc_fd;		/* /proc/PID of it */
	int pidfd;		/* of it, for fd_look_duplicate(); -1 for our own descriptors */
	char *link;		/* text of /proc/PID/fd/N: path, "socket:[123]", "anon_inode:[eventfd]" … */
	struct stat st;		/* of the file behind */
	struct proc_fdinfo info;
};

struct dump_file {
	uint32_t id;		/* 1, 2, … in order of discovery */
	const struct kind *kind;
	struct fd_look look;
	struct dump_task *task;	/* a holder; NULL for one found in flight only */
	int fd;			/* our duplicate of the description; see dump_file_fd() */
};

/* Our own duplicate (pidfd_getfd(2)), made on first use, closed by the engine; -1 on error. */
int dump_file_fd(struct dump_files *d, struct dump_file *f, struct error *err);
/* Writes the description's message to the image. */
int dump_file_message(struct dump_files *d, struct dump_file *f, const ProtobufCMessage *message,
		      struct error *err);
/* The id of the description behind our own descriptor `fd` (received from a queue), which is
 * dumped too if it is new. The caller keeps and closes fd. 0 on error. */
uint32_t dump_files_in_flight(struct dump_files *d, int fd, struct error *err);
/* The id of what (pid, number) refers to, 0 when that descriptor is closed. For epoll and such. */
uint32_t dump_files_find(struct dump_files *d, pid_t pid, int number);
/* The first description whose look.st has this device and inode and which is not `other` (the
 * other end of a pipe, the peer of a socket); NULL if none. */
struct dump_file *dump_files_by_inode(struct dump_files *d, dev_t dev, ino_t ino,
				      const struct dump_file *other);
/* The run that this belongs to: tasks, objects, options. */
struct dump *dump_files_run(struct dump_files *d);

/* ---- objects ---- */

/* Where an object was met: a mapping or a descriptor. */
struct object_look {
	pid_t pid;
	int proc_fd;
	const char *path;	/* as /proc shows it, "(deleted)" cut off */
	bool deleted;
	const struct vma *vma;		/* met as a mapping, else NULL */
	const struct fd_look *fd;	/* met as a descriptor, else NULL */
	struct stat st;			/* neither: met as the program file of the process */
	char room[4096];		/* for a path that nobody else keeps */
};

struct dump_object {
	uint32_t id;
	const struct kind *kind;
	dev_t dev;
	ino_t ino;
	int fd;			/* ours, for reading; -1 when not needed */
	bool has_content;	/* its pages are carried by the image, from fd */
	uint64_t size;
	uint64_t likeness;	/* memory_rounds_likeness() of its message */
};

/* The object behind a mapping or descriptor; dumped (message written) when it is new. NULL on
 * error. */
struct dump_object *dump_objects_get(struct dump_objects *d, const struct object_look *look,
				     struct error *err);
int dump_object_message(struct dump_objects *d, struct dump_object *o,
			const ProtobufCMessage *message, struct error *err);
/* For dump(), of one whose content is carried: opens it, o->fd, and notes its size. */
int dump_object_content(struct dump_object *o, const struct object_look *look, struct error *err);

#endif
