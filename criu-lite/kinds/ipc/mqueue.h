/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_IPC_MQUEUE_H
#define CL_KINDS_IPC_MQUEUE_H

#include <mqueue.h>

#include "images/mqueue.pb-c.h"
#include "kinds/files.h"

extern const struct kind mqueue_kind, mqueue_unopened_kind;

enum {
	/* What a batch can hold of a queue; mqueue_copy() refuses more. */
	MQUEUE_COPY_BYTES = 200 * 1024,
	MQUEUE_COPY_MESSAGES = 600,
};

/* What the status text of a queue's file says about its notification. */
struct mqueue_status {
	unsigned long bytes;	/* that wait in it */
	int notify;	/* SIGEV_ of <signal.h> */
	int signal;	/* 0: SIGEV_NONE */
	pid_t pid;	/* 0: nobody is told */
};

/* Reads it through any descriptor of ours. 0, or -1 with errno. */
int mqueue_status_read(int fd, struct mqueue_status *ret);

/* Copies messages and notification into *m, which owns them then; the queue stays as it is. */
int mqueue_copy(struct dump_files *d, struct dump_file *f, const struct mq_attr *attr,
		const struct mqueue_status *status, Mqueue *m, struct error *err);
/* Adds a message to the list. 0, or -1 without memory. */
int mqueue_add(Mqueue *m, uint32_t priority, const void *text, size_t size);
void mqueue_free_messages(Mqueue *m);

/* ---- those that nobody has open (mqueue_unopened.c), for the coordinators ---- */

/* Writes all of them as objects, once the descriptors are known. */
int mqueue_unopened_dump(struct dump *d, struct error *err);
/* Names what cannot be saved. */
int mqueue_unopened_check(const struct container *container, pid_t root, struct blockers *blockers,
			  struct error *err);

#endif
