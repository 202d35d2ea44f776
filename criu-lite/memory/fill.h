/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_FILL_H
#define CL_MEMORY_FILL_H

#include <pthread.h>

#include "memory/map_edit.h"
#include "memory/pagemap.h"

/*
 * Where the pages of one space go: the private memory of a puppet, or a file. Records are taken by
 * several threads at once. They are hostile: nothing is written but what the map allows.
 */
struct fill_space {
	uint64_t space;		/* as records name it */
	int pid;		/* of the puppet; 0: none */
	int fd;			/* the file; the owner's */
	int uffd;		/* of the puppet; -1: none */
	uint64_t size;		/* of the file */
	/* Where a puppet has the whole file mapped, shared, writable: it is filled there then, so
	 * that its memory cgroup is charged. 0: it is written by .fd. */
	uint64_t mapped;
	const struct map_areas *areas;	/* of the puppet; NULL: a file */
	pthread_mutex_t lock;
	/* What the puppet itself must do to its pages: drop, guard, collapse into huge ones. */
	struct page_runs late;
};

void fill_space_init(struct fill_space *s, uint64_t space);
/* Frees, and closes the userfaultfd. */
void fill_space_release(struct fill_space *s);

/*
 * Makes a userfaultfd(2) of the puppet fit for filling the space's private anonymous memory: pages
 * that are not there are put in place without being zeroed first. The space keeps the descriptor,
 * also on failure. Until it is closed nobody else can touch a page that is not there yet. -1 with
 * errno.
 */
int fill_use_uffd(struct fill_space *s, int uffd);
/* Ends that. */
void fill_drop_uffd(struct fill_space *s);

/* Checks one page record and writes what it holds; a bulk_take of images/stream.h, context is the
 * fill_space. ERROR_IMAGE when the record is wrong or not of this space. */
int fill_take(void *space, const void *payload, size_t size, struct error *err);
/* The same checks, and nothing is written. */
int fill_check(void *space, const void *payload, size_t size, struct error *err);

#endif
