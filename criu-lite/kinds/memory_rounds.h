/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MEMORY_ROUNDS_H
#define CL_KINDS_MEMORY_ROUNDS_H

#include "kinds/dump.h"
#include "memory/dirty.h"
#include "memory/map_edit.h"
#include "memory/pagemap.h"

/*
 * Pre-copying: what the other side has of a program's memory after the rounds so far, and so what
 * a further round has to bring. A round is written like an image (kinds/memory.h), with d->rounds
 * set; all but the last one from a program that runs on once its tree and maps are read.
 */

/* What is there of one process. */
struct round_task {
	pid_t pid, ppid, sid;
	uint64_t start_time;
	bool zombie, shares_fs;
	struct dirty dirty;	/* from the end of the round on */
	struct map_areas areas;	/* with the object ids of the round */
	struct page_runs sent;	/* its own pages */
	/* Pages that others got as copies of its own: what it has written to meanwhile they may
	 * have wrong. */
	struct page_runs lent;
};

/* The same of an object. */
struct round_object {
	uint32_t id;		/* in the last round */
	const struct kind *kind;
	dev_t dev;
	ino_t ino;
	uint64_t likeness;	/* dump_object.likeness */
	struct page_runs sent;
	uint64_t *hashes;	/* of each page that was sent, by its number */
	size_t hash_count;
};

struct memory_rounds {
	uint32_t number;	/* of the round that is being written */
	uint32_t complete;	/* how many count */
	bool fresh;		/* nothing of the last one stays */
	bool last;		/* this one is; the program is held until it is written */
	ARRAY_OF(struct round_task *) tasks;	/* root first */
	ARRAY_OF(struct round_object) objects, coming;	/* of the round that is being written */
	uint64_t pages;		/* data pages of the round, of processes and objects */
};

struct memory_rounds *memory_rounds_new(void);
/* Ends the tracking, too. */
void memory_rounds_free(struct memory_rounds *m);

/* What there is of a task of the last round; NULL if it is new. */
struct round_task *memory_rounds_find(const struct memory_rounds *m, const struct dump_task *task);
/* The task of the last round with this pid, or NULL. */
struct round_task *memory_rounds_by_pid(const struct memory_rounds *m, pid_t pid);

/* Begins a round: writes its record. */
int memory_rounds_begin(struct dump *d, bool last, struct error *err);
/* With all objects known and the tasks that stay marked (task->kept): writes what stays. */
int memory_rounds_write_kept(struct dump *d, struct error *err);
/* All of the round is written: it counts. */
int memory_rounds_end(struct dump *d, struct error *err);
/* How many pages of processes were written to by now since the last round, roughly. */
uint64_t memory_rounds_estimate(const struct memory_rounds *m);

/* ---- for kinds/memory_dump.c and the object engine ---- */

/* A number that two messages of an object have in common if they differ in nothing but what may
 * change while it stays the same object. 0 without memory. */
uint64_t memory_rounds_likeness(const ProtobufCMessage *message);
/* The same object in the last round, or NULL. */
struct round_object *memory_rounds_object(const struct memory_rounds *m,
					  const struct dump_object *o);
/* Changes of an area that would have it made anew for nothing are taken back in `areas`. */
int memory_rounds_settle_areas(struct dump_task *task, struct map_areas *areas, struct error *err);

/* Appends what the task has of the pages that were sent when its map is made what it is now. */
int memory_rounds_had(const struct dump_task *task, const struct map_areas *areas,
		      struct page_runs *ret, struct error *err);

struct round_pages {
	struct page_runs drops;	/* what is there and shall not be */
	struct page_runs data;	/* what is to be brought; guard regions among it */
};

/* Appends what the task has written to since the last round. `areas` are those of now. */
int memory_rounds_collect(struct dump_task *task, const struct map_areas *areas,
			  struct page_runs *ret, struct error *err);
/* What a kept task is to get: own are the pages that it has, dirty those written to. */
int memory_rounds_pages(const struct dump_task *task, const struct map_areas *areas,
			const struct page_runs *own, const struct page_runs *dirty,
			struct round_pages *ret, struct error *err);
void round_pages_release(struct round_pages *p);

/* Appends the pages that a task which is born with the pages of another, whose map was `have`, has
 * of those when its own map is made. */
int memory_rounds_inherit(const struct map_areas *have, const struct map_areas *want,
			  const struct page_runs *pages, struct page_runs *ret, struct error *err);

/* What an object that has content is to get; the pages that are no holes are `found`. The hashes of
 * the pages that are written belong in *ret_hashes, which stays ours. Whether content has changed
 * is found out by these: it may be written to in ways that leave no trace, by mappings of
 * processes that have come and gone. */
int memory_rounds_content(struct memory_rounds *m, const struct dump_object *o,
			  const struct page_runs *found, struct round_pages *ret,
			  uint64_t **ret_hashes, struct error *err);
/* The round counts: these objects are there now. */
int memory_rounds_settle_objects(struct memory_rounds *m, struct dump_objects *objects,
				 struct error *err);
void memory_rounds_drop_objects(struct round_object *objects, size_t count);
void round_task_free(struct round_task *t);

#endif
