/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/io.h"

enum { RANGES_WORTH_A_LOOK = 16 };

static bool has_data(const struct pages_range *run)
{
	return !(run->flags & (PAGES_DROPPED | PAGES_GUARD));
}

static uint32_t source_of(const struct content_set *set, uint32_t run)
{
	return set->run_sources ? set->run_sources[run] : 0;
}

/* The ranges of the record that begins at `cut`, and where the next one begins. */
static size_t record_ranges(const struct content_set *set, struct content_place cut,
			    struct pages_range *ranges, uint32_t *ret_data_pages,
			    struct content_place *ret_next)
{
	const struct page_runs *runs = set->runs;
	uint32_t room = PAGES_PER_RECORD, source = source_of(set, cut.run);
	size_t count = 0;

	while (cut.run < runs->runs.count && count < RANGES_PER_RECORD) {
		const struct pages_range *run = &runs->runs.items[cut.run];
		uint32_t pages = run->pages - cut.page;

		if (source_of(set, cut.run) != source || (has_data(run) && !room))
			break;
		if (has_data(run)) {
			pages = pages < room ? pages : room;
			room -= pages;
		}
		if (ranges)
			ranges[count] = (struct pages_range){
				run->address + (uint64_t)cut.page * PAGE_BYTES, pages, run->flags,
			};
		count++;
		cut.page += pages;
		if (cut.page == run->pages) {
			cut.page = 0;
			cut.run++;
		}
	}
	*ret_data_pages = PAGES_PER_RECORD - room;
	*ret_next = cut;
	return count;
}

int content_cut(struct content_set *set, struct error *err)
{
	struct content_place at = { 0 };
	uint32_t pages;

	while (at.run < set->runs->runs.count) {
		struct content_place *cut = array_add(&set->cuts);

		if (!cut)
			return error_set(err, ERROR_FAILED, ENOMEM, "page records");
		*cut = at;
		record_ranges(set, at, NULL, &pages, &at);
	}
	return 0;
}

void content_set_release(struct content_set *set)
{
	array_release(&set->cuts);
}

/* Opens a file of /proc/PID; -1 with errno. */
static int open_proc(int pid, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* What of a range can be read; the rest is zeros. */
static void read_what_is_there(int fd, const struct pages_range *range, char *data)
{
	size_t i;

	memset(data, 0, (size_t)range->pages * PAGE_BYTES);
	for (i = 0; i < range->pages && fd >= 0; i++)
		if (pread_full(fd, data + i * PAGE_BYTES, PAGE_BYTES,
			       range->address + i * PAGE_BYTES) != PAGE_BYTES)
			memset(data + i * PAGE_BYTES, 0, PAGE_BYTES);
}

/* By /proc/PID/mem, which also reads what the process itself may not. */
static int read_by_mem(const struct content_source *source, const struct pages_range *ranges,
		       size_t count, char *data, struct error *err)
{
	_cleanup_fd_ int fd = open_proc(source->pid, "mem");
	size_t i;

	if (fd < 0 && !source->runs)
		return error_set(err, ERROR_TARGET, errno, "process %d: cannot open its memory",
				 source->pid);
	for (i = 0; i < count; i++) {
		size_t bytes = (size_t)ranges[i].pages * PAGE_BYTES;

		if (!has_data(&ranges[i]))
			continue;
		if (pread_full(fd, data, bytes, ranges[i].address) != (ssize_t)bytes) {
			if (!source->runs)
				return error_set(err, ERROR_TARGET, errno,
						 "process %d: cannot read memory at %#llx",
						 source->pid,
						 (unsigned long long)ranges[i].address);
			read_what_is_there(fd, &ranges[i], data);
		}
		data += bytes;
	}
	return 0;
}

/*
 * Whether every page is mapped once. The kernel copies a page that a fork has left shared before
 * process_vm_readv(2) reads it (it pins the page), which would cost the program its sharing, or a
 * held copy of it all its memory once more; /proc/PID/mem reads without that.
 */
static bool all_exclusive(const struct content_source *source, const struct pages_range *ranges,
			  size_t count)
{
	_cleanup_fd_ int fd = -1;
	uint64_t entries[PAGES_PER_RECORD];
	size_t i, k;

	if (count > RANGES_WORTH_A_LOOK)
		return false;
	fd = open_proc(source->pid, "pagemap");
	for (i = 0; i < count; i++) {
		size_t bytes = ranges[i].pages * sizeof(*entries);

		if (!has_data(&ranges[i]))
			continue;
		if (fd < 0 || pread_full(fd, entries, bytes, ranges[i].address / PAGE_BYTES *
				       sizeof(*entries)) != (ssize_t)bytes)
			return false;
		for (k = 0; k < ranges[i].pages; k++)
			if (!(entries[k] & PAGEMAP_EXCLUSIVE))
				return false;
	}
	return true;
}

static int read_process(const struct content_source *source, const struct pages_range *ranges,
			size_t count, char *data, size_t size, struct error *err)
{
	struct iovec remote[RANGES_PER_RECORD] = { { 0 } }, local = { data, size };
	size_t i, parts = 0;

	if (!all_exclusive(source, ranges, count))
		return read_by_mem(source, ranges, count, data, err);
	for (i = 0; i < count; i++)
		if (has_data(&ranges[i]))
			remote[parts++] = (struct iovec){
				(void *)ranges[i].address, (size_t)ranges[i].pages * PAGE_BYTES,
			};
	if (process_vm_readv(source->pid, &local, 1, remote, parts, 0) == (ssize_t)size)
		return 0;
	return read_by_mem(source, ranges, count, data, err);
}

static int read_file(const struct content_source *source, const struct pages_range *ranges,
		     size_t count, char *data, struct error *err)
{
	size_t i;

	for (i = 0; i < count; i++) {
		size_t bytes = has_data(&ranges[i]) ? (size_t)ranges[i].pages * PAGE_BYTES : 0;
		ssize_t got = pread_full(source->fd, data, bytes, ranges[i].address);

		if (source->runs && got < 0)
			got = 0;
		if (got < 0 || (!source->runs && (uint64_t)got < bytes &&
				ranges[i].address + got < source->size))
			return error_set(err, ERROR_TARGET, got < 0 ? errno : 0,
					 "cannot read a file's content at %llu",
					 (unsigned long long)ranges[i].address);
		memset(data + got, 0, bytes - got);
		data += bytes;
	}
	return 0;
}

static void note_hashes(const struct content_set *set, const struct pages_range *ranges,
			size_t count, const char *data)
{
	size_t i, k;

	for (i = 0; i < count; i++) {
		if (!has_data(&ranges[i]))
			continue;
		for (k = 0; k < ranges[i].pages; k++, data += PAGE_BYTES)
			set->hashes[ranges[i].address / PAGE_BYTES + k] =
				XXH3_64bits(data, PAGE_BYTES);
	}
}

struct write_context {
	struct content_set *sets;
	size_t *ends;		/* records up to and including each set */
	size_t count;
};

static const struct content_set *find_set(const struct write_context *w, size_t i,
					  struct content_place *ret)
{
	size_t low = 0, high = w->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->ends[middle] <= i)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = w->sets[low].cuts.items[i - (low ? w->ends[low - 1] : 0)];
	return &w->sets[low];
}

static uint32_t record_size(void *context, size_t i)
{
	struct content_place cut, next;
	const struct content_set *set = find_set(context, i, &cut);
	uint32_t pages;

	record_ranges(set, cut, NULL, &pages, &next);
	return PAGE_BYTES + pages * PAGE_BYTES;
}

static int record_fill(void *context, size_t i, void *payload, struct error *err)
{
	struct content_place cut, next;
	const struct content_set *set = find_set(context, i, &cut);
	const struct content_source *source;
	struct pages_header *header = payload;
	struct pages_range *ranges = (struct pages_range *)(header + 1);
	char *data = (char *)payload + PAGE_BYTES;
	uint32_t pages;

	memset(payload, 0, PAGE_BYTES);
	header->space = set->space;
	header->range_count = record_ranges(set, cut, ranges, &pages, &next);
	if (!pages)
		return 0;
	source = &set->sources[source_of(set, cut.run)];
	if (!source->pid) {
		if (read_file(source, ranges, header->range_count, data, err))
			return -1;
		if (set->hashes)
			note_hashes(set, ranges, header->range_count, data);
		return 0;
	}
	return read_process(source, ranges, header->range_count, data, (size_t)pages * PAGE_BYTES,
			    err);
}

int content_write(struct stream_writer *w, struct content_set *sets, size_t count,
		  struct error *err)
{
	struct write_context context = { .sets = sets, .count = count };
	struct bulk_source source = {
		.kind = RECORD_PAGES,
		.flags = RECORD_CRITICAL,
		.size = record_size,
		.fill = record_fill,
		.context = &context,
	};
	size_t i;
	int r;

	context.ends = calloc(count + 1, sizeof(*context.ends));
	if (!context.ends)
		return error_set(err, ERROR_FAILED, ENOMEM, "page records");
	for (i = 0; i < count; i++) {
		source.count += sets[i].cuts.count;
		context.ends[i] = source.count;
	}
	r = source.count ? stream_write_bulk(w, &source, err) : 0;
	free(context.ends);
	return r;
}

int content_file_runs(int fd, uint64_t size, struct page_runs *ret, struct error *err)
{
	off_t at = 0, end;

	while ((uint64_t)at < size) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			break;
		end = at < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return error_set(err, ERROR_TARGET, errno, "cannot find a file's data");
		at &= ~(off_t)(PAGE_BYTES - 1);
		end = (end + PAGE_BYTES - 1) & ~(off_t)(PAGE_BYTES - 1);
		if (page_runs_add(ret, at, (end - at) / PAGE_BYTES, 0))
			return error_set(err, ERROR_FAILED, ENOMEM, "page runs");
		at = end;
	}
	return 0;
}
