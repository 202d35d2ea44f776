/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_RESTORE_SET_H
#define CL_KINDS_RESTORE_SET_H

#include "images/descriptors.pb-c.h"
#include "kinds/files.h"

/* The descriptions of an image and who holds them. For the files of the descriptor engine only. */

struct restore_slot {
	struct restore_file file;
	size_t order;		/* in the image */
	size_t opener_order;	/* of file.opener among the tasks */
	int number;		/* lowest at which the opener holds it, -1 when only in flight */
	char name[48];
};

/* What kinds keep together, by kind and key. */
struct shared_slot {
	const struct kind *kind;
	uint64_t key;
	void *value;
	struct shared_slot *next;	/* in the bucket */
};

enum { SHARED_BUCKETS = 1024 };

struct restore_files {
	struct restore *run;
	enum stdio_policy stdio;
	const char *stdio_file;
	ARRAY_OF(struct restore_slot *) files;	/* as in the image */
	struct restore_slot **by_id, **by_opener;
	struct shared_slot *shared[SHARED_BUCKETS];
	/* Numbers in a puppet whose descriptors we have fetched, to be closed there. */
	struct restore_task *leftover_task;
	ARRAY_OF(int) leftovers;
};

/* The descriptor table of a task; NULL for a zombie, or when the image has none. */
const FdTable *restore_table(const struct restore_task *t);
/* Closes what restore_open() left in the puppet. */
int restore_close_leftovers(struct restore_files *r, struct error *err);

static inline struct restore_slot *restore_slot_of(struct restore_file *f)
{
	return (struct restore_slot *)((char *)f - offsetof(struct restore_slot, file));
}

#endif
