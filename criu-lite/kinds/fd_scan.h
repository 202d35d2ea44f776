/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FD_SCAN_H
#define CL_KINDS_FD_SCAN_H

#include "kinds/files.h"

/*
 * Who holds what: the descriptor tables of a tree and the open file descriptions behind them. For
 * the files of the descriptor engine only.
 */

/* A name in /proc/PID/fd or task as a number; -1 when it is none. */
int fd_number(const char *name);
/* Reads what /proc tells of descriptor `number`. Of `holder`, only who it is counts: pid, proc_fd
 * and pidfd. Returns 1, or 0 when the descriptor or the process is gone. The caller releases
 * *ret. */
int fd_look_read(struct fd_look *ret, const struct fd_look *holder, int number, struct error *err);
/* A pidfd of a process, or of a thread whose leader has exited; -1 with errno. */
int fd_look_pidfd(pid_t pid);
void fd_look_release(struct fd_look *look);

struct fd_entry {
	int number;
	bool cloexec;
	uint32_t file;	/* id */
};

struct fd_table {
	pid_t pid;		/* of the process */
	pid_t tid;		/* a thread that lives, mostly the leader */
	int proc_fd, pidfd;	/* of that thread; ours */
	struct dump_task *task;	/* NULL in preflight */
	ARRAY_OF(struct fd_entry) entries;
	bool has_locks;		/* file locks were seen at its descriptors */
	bool one_thread;	/* nobody else of the process can have another table */
};

/* A description and what the engine alone knows of it. */
struct fd_file {
	struct dump_file file;
	const struct kind *kind;	/* that fits, once judged */
	bool blocked;		/* leads outside and is no standard descriptor */
	int standard;		/* lowest of 0, 1, 2 at which a process holds it; -1 if none */
	bool saved;
	bool in_flight;		/* file.fd is the only hold that we have on it */
	char *name;		/* for messages; made on first use */
	struct fd_file *next;	/* of the same group, in order of discovery */
};

/* Descriptions that look alike from outside, by kcmp(2)'s order. */
struct fd_group {
	dev_t dev;
	ino_t ino;		/* that of an eventfd has its id in the upper half */
	const char *link;
	ARRAY_OF(struct fd_file *) sorted;
	struct fd_file *first, *last;
	struct fd_group *next;	/* in the bucket */
};

struct fd_scan {
	ARRAY_OF(pid_t) processes;	/* zombies, too, which have no table */
	ARRAY_OF(struct fd_table) tables;
	ARRAY_OF(struct fd_file *) files;	/* id - 1 is the index */
	struct fd_group **buckets;
	size_t bucket_count, group_count;
	bool running;	/* the processes are not held: things vanish */
	bool closes_connections;	/* that leave the tree */
	int *can_lock;	/* preflight: the network; -1 while nobody has asked. Else NULL */
};

void fd_scan_release(struct fd_scan *scan);
/* Counts a process to the tree. */
int fd_scan_process(struct fd_scan *scan, pid_t pid, struct error *err);
/* Reads the descriptor table of a process through one of its threads, whose /proc directory is
 * proc_fd (stays the caller's), and finds or adds what is behind. task is NULL in preflight.
 * one_thread: the process has no other. */
int fd_scan_table(struct fd_scan *scan, struct dump_task *task, pid_t pid, pid_t tid, int proc_fd,
		  bool one_thread, struct error *err);
/* The description behind a descriptor; takes the look's contents over (it is empty afterwards).
 * *ret_new says that it was not known. NULL on error. */
struct fd_file *fd_scan_find(struct fd_scan *scan, struct fd_look *look, bool *ret_new,
			     struct error *err);
/* Names all that cannot be saved: unknown kinds, what kinds refuse, descriptors that lead outside,
 * and shared descriptor tables. */
int fd_scan_judge(struct fd_scan *scan, struct blockers *blockers, struct error *err);
/* Finds the row for a description: "external" for a standard descriptor that leads outside, none
 * when no row wants it. */
void fd_scan_classify(const struct fd_scan *scan, struct fd_file *f);
/* The standard descriptor that stands for what leads outside: its own, or that of a description of
 * the same inode; -1 if none. */
int fd_scan_standard(const struct fd_scan *scan, const struct fd_file *f);
/* Why no row wants it, and what can be done. */
void fd_unsupported(const struct fd_look *look, const char **reason, const char **remedy);

static inline struct fd_file *fd_file_of(const struct dump_file *f)
{
	return (struct fd_file *)((char *)f - offsetof(struct fd_file, file));
}

static inline struct fd_file *fd_file_of_look(const struct fd_look *look)
{
	return fd_file_of((struct dump_file *)((char *)look - offsetof(struct dump_file, look)));
}

#endif
