/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/dirty.h"

#include <errno.h>

#include "base/cleanup.h"
#include "kernel-compat/uapi.h"

enum { REGIONS_AT_ONCE = 512 };

int dirty_use_uffd(struct dirty *d, int uffd)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	int failed = ioctl(uffd, UFFDIO_API, &api);

	dirty_release(d);
	if (failed)
		fd_close(&uffd);
	else
		d->uffd = uffd;
	return failed;
}

void dirty_release(struct dirty *d)
{
	fd_close(&d->uffd);
	page_runs_release(&d->fresh);
	d->lost = false;
}

void dirty_looked(struct dirty *d)
{
	page_runs_release(&d->fresh);
}

/* -1 with errno. */
static int run_scan(const struct pagemap *pm, struct pm_scan_arg *args, struct page_runs *ret)
{
	struct page_region regions[REGIONS_AT_ONCE];
	int count, i;

	args->size = sizeof(*args);
	args->vec = (uint64_t)regions;
	args->vec_len = REGIONS_AT_ONCE;
	args->return_mask = PAGE_IS_WRITTEN;
	while (args->start < args->end) {
		count = ioctl(pm->fd, PAGEMAP_SCAN, args);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		for (i = 0; i < count; i++) {
			if (page_runs_add(ret, regions[i].start,
					  (regions[i].end - regions[i].start) / PAGE_BYTES, 0)) {
				errno = ENOMEM;
				return -1;
			}
		}
		if (args->walk_end <= args->start)
			break;
		args->start = args->walk_end;
	}
	return 0;
}

/* Write-protects what it finds if `again`. */
static int scan(const struct pagemap *pm, uint64_t start, uint64_t end, bool again,
		struct page_runs *ret)
{
	/* A guard region looks like a swapped page, and is not to be protected as one. */
	struct pm_scan_arg args = {
		.flags = PM_SCAN_CHECK_WPASYNC | (again ? PM_SCAN_WP_MATCHING : 0),
		.start = start,
		.end = end,
		.category_inverted = pm->has_guard ? PAGE_IS_GUARD : 0,
		.category_mask = PAGE_IS_WRITTEN | (pm->has_guard ? PAGE_IS_GUARD : 0),
		.category_anyof_mask = PAGE_IS_PRESENT | (pm->has_guard ? PAGE_IS_SWAPPED : 0),
	};

	return run_scan(pm, &args, ret);
}

/* An area as the kernel has it is tracked as a whole or not at all. */
static bool is_tracked(const struct pagemap *pm, uint64_t start)
{
	_cleanup_runs_ struct page_runs unused = { 0 };

	return !scan(pm, start, start + PAGE_BYTES, false, &unused);
}

int dirty_watch(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end)
{
	struct uffdio_register area = {
		.range = { .start = start, .len = end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (d->uffd < 0 || d->lost || !pm->has_scan || is_tracked(pm, start))
		return 0;
	/* The program's own userfaultfd may be there (EBUSY). */
	if (ioctl(d->uffd, UFFDIO_REGISTER, &area)) {
		d->lost |= errno == ENOMEM || errno == ESRCH;
		return 0;
	}
	return page_runs_add(&d->fresh, start, (end - start) / PAGE_BYTES, 0);
}

static bool is_fresh(const struct dirty *d, uint64_t start, uint64_t end)
{
	const struct pages_range *run;

	array_for(run, &d->fresh.runs)
		if (run->address < end &&
		    run->address + (uint64_t)run->pages * PAGE_BYTES > start)
			return true;
	return false;
}

static int look_failed(uint64_t start, struct error *err)
{
	return error_set(err, ERROR_TARGET, errno, "cannot look for written pages at %#llx",
			 (unsigned long long)start);
}

/* Whether the area is only unknown; anything else is an error. */
static bool is_unknown(void)
{
	return errno == EPERM || errno == ESRCH;
}

int dirty_collect_changed(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end,
			  struct page_runs *ret, bool *ret_all, struct error *err)
{
	/* The kernel's short way for PAGE_IS_WRITTEN alone takes the bits of a page that is just
	 * being moved for what they are not. And where a page of our own went, that of a private
	 * mapping's file comes with its protection, not written to. */
	struct pm_scan_arg args = {
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = end,
		.category_inverted = PAGE_IS_PRESENT,
		.category_anyof_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_FILE,
	};

	*ret_all = d->uffd < 0 || d->lost || !pm->has_scan || is_fresh(d, start, end);
	ret->closed = ret->runs.count;
	if (*ret_all || !run_scan(pm, &args, ret))
		return 0;
	*ret_all = is_unknown();
	return *ret_all ? 0 : look_failed(start, err);
}

int dirty_collect(struct dirty *d, const struct pagemap *pm, uint64_t start, uint64_t end,
		  bool again, struct page_runs *ret, bool *ret_all, struct error *err)
{
	bool unknown = d->uffd < 0 || d->lost || !pm->has_scan;

	*ret_all = unknown || is_fresh(d, start, end);
	ret->closed = ret->runs.count;
	if (unknown || !scan(pm, start, end, again, ret))
		return 0;
	*ret_all = is_unknown();
	return *ret_all ? 0 : look_failed(start, err);
}
