/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_CONTENT_H
#define CL_MEMORY_CONTENT_H

#include "images/stream.h"
#include "memory/pagemap.h"

/*
 * Writing pages to the image: sets of runs are cut into page records, which the workers of the
 * stream fill in parallel, straight from the process (process_vm_readv(2)) or file.
 */

/* Where runs lie: a process, held, or a file. */
struct content_source {
	int pid;	/* 0: a file */
	int fd;		/* of the file; stays the caller's */
	uint64_t size;	/* of the file: its last page may be cut short */
	/* It may lose pages while they are read, which are zeros then: the reader of the image will
	 * hear of that later. */
	bool runs;
};

/* Where a record begins. */
struct content_place {
	uint32_t run, page;
};

struct content_set {
	uint64_t space;
	uint32_t stage;
	bool huge;	/* all runs are in huge pages */
	/* What run i is read from: sources[run_sources[i]], or sources[0] without run_sources. */
	const struct content_source *sources;
	const uint32_t *run_sources;
	const struct page_runs *runs;
	uint64_t *hashes;	/* NULL, or where the hash (XXH3-64) of each page of the file goes,
				 * by its number */
	ARRAY_OF(struct content_place) cuts;	/* made by content_cut() */
};

/* Cuts a set into records. A record does not mix sources. */
int content_cut(struct content_set *set, struct error *err);
void content_set_release(struct content_set *set);

/* Writes the records of all sets, which are cut, one set after the other. */
int content_write(struct stream_writer *w, struct content_set *sets, size_t count,
		  struct error *err);

/* Appends the parts of a file that hold data (lseek(2) SEEK_DATA), as runs of whole pages. */
int content_file_runs(int fd, uint64_t size, struct page_runs *ret, struct error *err);

#endif
