/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the page frames of held processes, a window of addresses at a time. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"
#include "memory/sharing.h"

enum {
	PAGES_AT_ONCE = 1 << 20,	/* of all tasks together */
	WINDOW_PAGES_MIN = 64,
	WINDOW_PAGES_MAX = 1 << 14,
	ENTRIES_AT_ONCE = 2048,
	GAP_PAGES = 256,		/* holes up to this are read over */
};

struct finder {
	const struct sharing_task *tasks;
	const int *proc_fds;
	size_t count;
	size_t *cursors;		/* first run of each task that reaches into the window */
	uint64_t start, end;		/* the window */
	ARRAY_OF(struct sharing_page) pages;
};

static uint64_t run_end(const struct pages_range *run)
{
	return run->address + (uint64_t)run->pages * PAGE_BYTES;
}

/* The lowest address from f->end on where a task has pages of its own; UINT64_MAX: none. */
static uint64_t next_start(struct finder *f)
{
	uint64_t lowest = UINT64_MAX;
	size_t i;

	for (i = 0; i < f->count; i++) {
		const struct page_runs *own = f->tasks[i].own;
		size_t *at = &f->cursors[i];
		uint64_t address;

		while (*at < own->runs.count && run_end(&own->runs.items[*at]) <= f->end)
			++*at;
		if (*at == own->runs.count)
			continue;
		address = own->runs.items[*at].address;
		if (address < f->end)
			address = f->end;
		if (address < lowest)
			lowest = address;
	}
	return lowest;
}

/* What is done with each entry of the pages that are read. */
typedef int (*entry_use)(struct finder *f, size_t task, uint32_t page, uint64_t entry);

static bool is_shared(uint64_t entry)
{
	return entry & PAGEMAP_PRESENT && !(entry & (PAGEMAP_EXCLUSIVE | PAGEMAP_FILE)) &&
	       entry & PAGEMAP_FRAME;
}

/* `run` is where the span begins. What lies between the runs is read with them, but is not the
 * task's own: the shared page of zeros looks like any other that is mapped more than once. */
static int read_span(struct finder *f, const struct pagemap *pm, size_t task,
		     const struct pages_range *run, uint64_t from, uint64_t to, entry_use use,
		     struct error *err)
{
	uint64_t entries[ENTRIES_AT_ONCE];

	while (from < to) {
		size_t count = (to - from) / PAGE_BYTES, i;

		if (count > ENTRIES_AT_ONCE)
			count = ENTRIES_AT_ONCE;
		if (pagemap_read(pm, from, count, entries, err))
			return -1;
		for (i = 0; i < count; i++) {
			uint64_t address = from + i * (uint64_t)PAGE_BYTES;
			uint32_t page = (address - f->start) / PAGE_BYTES;

			while (run_end(run) <= address)
				run++;
			if (address >= run->address && is_shared(entries[i]) &&
			    use(f, task, page, entries[i]))
				return error_set(err, ERROR_FAILED, ENOMEM, "shared pages");
		}
		from += count * (uint64_t)PAGE_BYTES;
	}
	return 0;
}

/* Reads the entries of a task's own pages in the window. */
static int read_task(struct finder *f, size_t task, entry_use use, struct error *err)
{
	const struct page_runs *own = f->tasks[task].own;
	size_t at = f->cursors[task];
	struct pagemap pm;
	_cleanup_fd_ int fd = -1;

	if (at == own->runs.count || own->runs.items[at].address >= f->end)
		return 0;
	if (pagemap_open_plain(&pm, f->proc_fds[task], err))
		return -1;
	fd = pm.fd;
	while (at < own->runs.count && own->runs.items[at].address < f->end) {
		const struct pages_range *run = &own->runs.items[at++];
		uint64_t from = run->address, to = run_end(run);

		while (at < own->runs.count && own->runs.items[at].address < f->end &&
		       own->runs.items[at].address - to <= GAP_PAGES * PAGE_BYTES)
			to = run_end(&own->runs.items[at++]);
		if (from < f->start)
			from = f->start;
		if (to > f->end)
			to = f->end;
		if (read_span(f, &pm, task, run, from, to, use, err))
			return -1;
	}
	return 0;
}

static int keep(struct finder *f, size_t task, uint32_t page, uint64_t entry)
{
	struct sharing_page *p = array_add(&f->pages);

	if (!p)
		return -1;
	*p = (struct sharing_page){ entry & PAGEMAP_FRAME, page, task };
	return 0;
}

struct check {
	struct finder f;
	size_t at, kept;
};

/* The second look, in the same order: what is still the same frame is kept. */
static int keep_again(struct finder *f, size_t task, uint32_t page, uint64_t entry)
{
	struct check *c = (struct check *)f;
	struct sharing_page *pages = f->pages.items;

	while (c->at < f->pages.count && (pages[c->at].task < task ||
					  (pages[c->at].task == task && pages[c->at].page < page)))
		c->at++;
	if (c->at < f->pages.count && pages[c->at].task == task && pages[c->at].page == page &&
	    pages[c->at].frame == (entry & PAGEMAP_FRAME))
		pages[c->kept++] = pages[c->at++];
	return 0;
}

static bool matters(const struct sharing_task *task, struct error *err)
{
	if (!task->runs || err->os_error == ENOMEM)
		return true;
	error_clear(err);
	return false;
}

/*
 * Frames are read twice: the kernel may move pages (compaction) between the looks at two tasks, and
 * then a number could mean two pages.
 */
static int read_window(struct check *c, struct error *err)
{
	size_t i;

	c->f.pages.count = c->at = c->kept = 0;
	for (i = 0; i < c->f.count; i++)
		if (read_task(&c->f, i, keep, err) && matters(&c->f.tasks[i], err))
			return -1;
	for (i = 0; i < c->f.count && c->f.pages.count; i++)
		if (read_task(&c->f, i, keep_again, err) && matters(&c->f.tasks[i], err))
			return -1;
	c->f.pages.count = c->kept;
	return 0;
}

static int find_all(struct check *c, struct sharing *s, struct error *err)
{
	struct finder *f = &c->f;
	uint32_t window = PAGES_AT_ONCE / f->count;
	size_t living = 0, i;

	for (i = 0; i < f->count; i++)
		living += f->tasks[i].own->runs.count > 0;
	if (window < WINDOW_PAGES_MIN)
		window = WINDOW_PAGES_MIN;
	if (window > WINDOW_PAGES_MAX)
		window = WINDOW_PAGES_MAX;
	/* Who is alone shares with nobody. */
	while (living > 1 && !feature_hidden("pagemap-pfn") &&
	       (f->start = next_start(f)) != UINT64_MAX) {
		f->end = f->start + window * (uint64_t)PAGE_BYTES;
		if (read_window(c, err))
			return -1;
		if (sharing_window(s, f->start, window, f->pages.items, f->pages.count))
			return error_set(err, ERROR_FAILED, ENOMEM, "shared pages");
	}
	return sharing_end(s) ? error_set(err, ERROR_FAILED, ENOMEM, "shared pages") : 0;
}

int sharing_find(const struct sharing_task *tasks, const int *proc_fds, size_t count,
		 struct sharing_output *outputs, struct error *err)
{
	struct check c = { .f = { .tasks = tasks, .proc_fds = proc_fds, .count = count } };
	struct sharing *s = sharing_new(tasks, count, outputs);
	int r;

	c.f.cursors = calloc(count + 1, sizeof(*c.f.cursors));
	r = s && c.f.cursors ? find_all(&c, s, err) :
			       error_set(err, ERROR_FAILED, ENOMEM, "shared pages");
	free(c.f.cursors);
	array_release(&c.f.pages);
	sharing_free(s);
	return r;
}
