/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MEMORY_DIRTY_H
#define CL_MEMORY_DIRTY_H

#include "memory/pagemap.h"

/*
 * Which private pages a process has written to since it was last asked, while it runs: by write
 * protection without events (userfaultfd(2), UFFD_FEATURE_WP_ASYNC) and the PAGEMAP_SCAN ioctl,
 * both of Linux 6.7.
 *
 * The process notices nothing but a fault for the first write to each page after each look. Closing
 * the userfaultfd ends it. An area that was watched is untracked again after mremap(2) and in a
 * child; one on which the program has a userfaultfd of its own cannot be tracked.
 */
struct dirty {
	int uffd;	/* made by the process (UFFD_USER_MODE_ONLY will do); -1: nothing is known,
			 * each page counts as written */
	bool lost;	/* it is of an address space that the process has left by execve(2) */
	struct page_runs fresh;	/* tracked, but not looked at yet */
};

/* Takes a userfaultfd over, also on failure. -1 with errno: it cannot track. */
int dirty_use_uffd(struct dirty *d, int uffd);
void dirty_release(struct dirty *d);

/*
 * Begins to track [start, end), one area as /proc/PID/maps has it, if it is not tracked. The
 * process is held: one that has changed its areas in the meantime would have another one divided,
 * which mremap(2) then refuses to move. -1 without memory.
 */
int dirty_watch(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end);

/*
 * Appends the pages in [start, end), one area of the process, that were written to since the last
 * look at it (or have come into being). *ret_all says instead that nothing is known of it, which
 * is so at the first look.
 * `again`: from now on it is looked for what is written after this look, otherwise this is the last
 * look and the process is held. ERROR_TARGET.
 */
int dirty_collect(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end,
		  bool again, struct page_runs *ret, bool *ret_all, struct error *err);

/* Every area that was watched has been looked at. */
void dirty_looked(struct dirty *d);

/*
 * The last look in another way: appends all pages but those that are there and were not written to,
 * so also those that are not there, that are swapped out, or guard regions. What is not among them
 * needs no other look (pagemap_own_pages), which takes longer.
 */
int dirty_collect_changed(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end,
			  struct page_runs *ret, bool *ret_all, struct error *err);

#endif
