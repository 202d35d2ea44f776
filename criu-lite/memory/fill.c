/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

void fill_space_init(struct fill_space *s, uint64_t space)
{
	*s = (struct fill_space){ .space = space, .fd = -1, .uffd = -1 };
	pthread_mutex_init(&s->lock, NULL);
}

void fill_space_release(struct fill_space *s)
{
	fill_drop_uffd(s);
	page_runs_release(&s->late);
	pthread_mutex_destroy(&s->lock);
}

static uint64_t range_bytes(const struct pages_range *r)
{
	return (uint64_t)r->pages * PAGE_BYTES;
}

static bool has_data(const struct pages_range *r)
{
	return !(r->flags & (PAGES_DROPPED | PAGES_GUARD));
}

static int misplaced(const struct fill_space *s, const struct pages_range *r, struct error *err)
{
	if (!s->areas)
		return error_set(err, ERROR_IMAGE, 0, "pages %#llx are outside of their file",
				 (unsigned long long)r->address);
	return error_set(err, ERROR_IMAGE, 0, "process %llu: pages at %#llx are outside of its "
			 "private memory", (unsigned long long)s->space,
			 (unsigned long long)r->address);
}

/* ---- files ---- */

static int write_file(const struct fill_space *s, uint64_t offset, const char *data, uint64_t bytes)
{
	struct iovec local = { (void *)data, bytes },
		     remote = { (void *)(s->mapped + offset), bytes };

	if (!s->mapped)
		return pwrite_full(s->fd, data, bytes, offset);
	return process_vm_writev(s->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -1;
}

static int make_hole(int fd, uint64_t offset, uint64_t bytes)
{
	static const char zeros[PAGE_BYTES];

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes))
		return 0;
	/* Not every file system has holes. */
	while (bytes) {
		uint64_t part = bytes < PAGE_BYTES ? bytes : PAGE_BYTES;

		if (pwrite_full(fd, zeros, part, offset))
			return -1;
		offset += part;
		bytes -= part;
	}
	return 0;
}

static int check_file(const struct fill_space *s, const struct pages_view *view, struct error *err)
{
	size_t i;

	for (i = 0; i < view->range_count; i++) {
		const struct pages_range *r = &view->ranges[i];

		if (r->flags & PAGES_GUARD || r->address >= s->size ||
		    range_bytes(r) > s->size + PAGE_BYTES - 1 - r->address)
			return misplaced(s, r, err);
	}
	return 0;
}

static int fill_file(const struct fill_space *s, const struct pages_view *view, struct error *err)
{
	const char *data = view->data;
	size_t i;

	if (check_file(s, view, err))
		return -1;
	for (i = 0; i < view->range_count; i++) {
		const struct pages_range *r = &view->ranges[i];
		uint64_t bytes = range_bytes(r);

		if (bytes > s->size - r->address)
			bytes = s->size - r->address;
		if (!has_data(r)) {
			if (make_hole(s->fd, r->address, bytes))
				return error_set(err, ERROR_FAILED, errno,
						 "cannot empty a file at %llu",
						 (unsigned long long)r->address);
			continue;
		}
		if (write_file(s, r->address, data, bytes))
			return error_set(err, ERROR_FAILED, errno, "cannot fill a file at %llu",
					 (unsigned long long)r->address);
		data += range_bytes(r);
	}
	return 0;
}

/* ---- processes ---- */

static int check_ranges(const struct fill_space *s, const struct pages_view *view,
			bool *ret_all_writable, struct error *err)
{
	size_t i;

	*ret_all_writable = true;
	for (i = 0; i < view->range_count; i++) {
		const struct pages_range *r = &view->ranges[i];
		const struct map_area *a = map_areas_find(s->areas, r->address);

		/* Guard regions are of the mapping (and are dropped), all else in a shared one is
		 * of its object. */
		if (!a || (a->flags & AREA_SHARED && has_data(r)) ||
		    range_bytes(r) > a->end - r->address)
			return misplaced(s, r, err);
		*ret_all_writable &= (a->prot & PROT_WRITE) != 0;
	}
	return 0;
}

/* By /proc/PID/mem, which also writes what the process itself may not; *fd is opened for that. */
static int write_by_mem(const struct fill_space *s, int *fd, const struct pages_range *r,
			const char *data, struct error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", s->pid);
	if (*fd < 0)
		*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd < 0 || pwrite_full(*fd, data, range_bytes(r), r->address))
		return error_set(err, ERROR_FAILED, errno,
				 "process %llu: cannot fill memory at %#llx",
				 (unsigned long long)s->space, (unsigned long long)r->address);
	return 0;
}

static bool write_at_once(const struct fill_space *s, const struct pages_view *view)
{
	struct iovec remote[RANGES_PER_RECORD] = { { 0 } }, local = { (void *)view->data, 0 };
	size_t i, parts = 0;

	for (i = 0; i < view->range_count; i++) {
		if (!has_data(&view->ranges[i]))
			continue;
		remote[parts].iov_base = (void *)view->ranges[i].address;
		remote[parts].iov_len = range_bytes(&view->ranges[i]);
		local.iov_len += remote[parts++].iov_len;
	}
	return process_vm_writev(s->pid, &local, 1, remote, parts, 0) == (ssize_t)local.iov_len;
}

int fill_use_uffd(struct fill_space *s, int uffd)
{
	struct uffdio_api api = { .api = UFFD_API };
	const struct map_area *a = s->areas->areas.items, *end = a + s->areas->areas.count;

	s->uffd = uffd;
	if (ioctl(uffd, UFFDIO_API, &api))
		return -1;
	while (a < end) {
		struct uffdio_register range = {
			.range = { .start = a->start },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};
		uint64_t to = a->start;

		for (; a < end && !a->object && a->start == to; a++)
			to = a->end;
		range.range.len = to - range.range.start;
		/* Where it is refused, pages are written in another way. */
		if (range.range.len)
			ioctl(uffd, UFFDIO_REGISTER, &range);
		else
			a++;
	}
	return 0;
}

void fill_drop_uffd(struct fill_space *s)
{
	fd_close(&s->uffd);
}

/* Puts pages where none are; one that is there already is written over. */
static int copy_missing(const struct fill_space *s, int *mem, const struct pages_range *r,
			const char *data, struct error *err)
{
	uint64_t done = 0, size = range_bytes(r);
	bool one_page = false;

	/* Only anonymous memory is of the userfaultfd. */
	if (map_areas_find(s->areas, r->address)->object)
		return write_by_mem(s, mem, r, data, err);
	while (done < size) {
		struct uffdio_copy copy = {
			.dst = r->address + done,
			.src = (uint64_t)data + done,
			.len = one_page ? PAGE_BYTES : size - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};
		const struct pages_range page = { copy.dst, 1, r->flags };
		int failed = ioctl(s->uffd, UFFDIO_COPY, &copy);

		if (!failed || copy.copy > 0) {
			done += failed ? (uint64_t)copy.copy : copy.len;
			one_page = false;
			continue;
		}
		/* What was inherited and what was mapped later may be two areas for the kernel. */
		if (errno != EEXIST && copy.len > PAGE_BYTES) {
			one_page = true;
			continue;
		}
		/* The page is there already, or is not of the userfaultfd. */
		if (write_by_mem(s, mem, &page, data + done, err))
			return -1;
		done += PAGE_BYTES;
		one_page = false;
	}
	return 0;
}

/* Huge pages come by themselves where the area asks for them. */
static bool needs_puppet(const struct fill_space *s, const struct pages_range *r)
{
	return !has_data(r) || (r->flags & PAGES_HUGE &&
				!(map_areas_find(s->areas, r->address)->flags & AREA_HUGE));
}

static int keep_late(struct fill_space *s, const struct pages_range *r, struct error *err)
{
	int full;

	pthread_mutex_lock(&s->lock);
	full = page_runs_add(&s->late, r->address, r->pages, r->flags);
	pthread_mutex_unlock(&s->lock);
	return full ? error_set(err, ERROR_FAILED, ENOMEM, "pages") : 0;
}

static int fill_process(struct fill_space *s, const struct pages_view *view, struct error *err)
{
	const char *data = view->data;
	_cleanup_fd_ int mem = -1;
	bool at_once;
	size_t i;

	if (check_ranges(s, view, &at_once, err))
		return -1;
	at_once = at_once && s->uffd < 0 && write_at_once(s, view);
	for (i = 0; i < view->range_count; i++) {
		const struct pages_range *r = &view->ranges[i];

		if (needs_puppet(s, r) && keep_late(s, r, err))
			return -1;
		if (!has_data(r))
			continue;
		if (!at_once && (s->uffd < 0 ? write_by_mem(s, &mem, r, data, err) :
					       copy_missing(s, &mem, r, data, err)))
			return -1;
		data += range_bytes(r);
	}
	return 0;
}

static int parse(const struct fill_space *s, const void *payload, size_t size,
		 struct pages_view *ret, struct error *err)
{
	if (pages_parse(payload, size, ret, err))
		return -1;
	if (ret->space != s->space)
		return error_set(err, ERROR_IMAGE, 0, "pages of %#llx where those of %#llx belong",
				 (unsigned long long)ret->space, (unsigned long long)s->space);
	return 0;
}

int fill_check(void *space, const void *payload, size_t size, struct error *err)
{
	struct fill_space *s = space;
	struct pages_view view;
	bool unused;

	if (parse(s, payload, size, &view, err))
		return -1;
	return s->areas ? check_ranges(s, &view, &unused, err) : check_file(s, &view, err);
}

int fill_take(void *space, const void *payload, size_t size, struct error *err)
{
	struct fill_space *s = space;
	struct pages_view view;

	if (parse(s, payload, size, &view, err))
		return -1;
	return s->areas ? fill_process(s, &view, err) : fill_file(s, &view, err);
}
