/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a round brings of each task, and what is there once it is written. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "memory/page_sets.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
}

/* Adds b to the set *a. */
static int add_set(struct page_runs *a, const struct page_runs *b)
{
	struct page_runs both = { 0 };

	if (!b->runs.count)
		return 0;
	if (page_sets(a, PAGES_UNION, b, &both)) {
		page_runs_release(&both);
		return -1;
	}
	page_runs_release(a);
	*a = both;
	return 0;
}

/* ---- what was written to ---- */

static int watch(struct dump_task *task, const struct dumped_task *mine, struct error *err)
{
	const struct map_area *a;
	struct pagemap pm;
	int r = 0;

	if (pagemap_open(&pm, task->proc_fd, err))
		return -1;
	array_for(a, &mine->areas.areas) {
		if (a->flags & AREA_SHARED)
			continue;
		r = dirty_watch(&task->round->dirty, &pm, a->start, a->end);
		if (r)
			break;
	}
	fd_close(&pm.fd);
	return r ? no_memory(err) : 0;
}

int memory_dump_watch(struct dump *d, struct error *err)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		if (!d->tasks.items[i]->zombie &&
		    watch(d->tasks.items[i], &d->memory->tasks[i], err))
			return error_wrap(err, "process %d", d->tasks.items[i]->pid);
	return 0;
}

static void collect(struct dump_task *task, struct dumped_task *mine, struct error *err)
{
	/* Of a kept one in the freeze it is found with its pages. */
	if (!task->round || task->dump->rounds->last ||
	    !memory_rounds_collect(task, &mine->areas, &mine->dirty, err))
		return;
	/* It is ending; what it has, if anything, is to be brought again. */
	log_info("process %d: %s", task->pid, err->message);
	error_clear(err);
	task->round->dirty.lost = true;
}

void memory_dump_dirty(struct dump *d, struct error *err)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		if (!d->tasks.items[i]->zombie)
			collect(d->tasks.items[i], &d->memory->tasks[i], err);
}

/* ---- what a task has in the freeze ---- */

/* Everything of the areas that may have changed since the last round: *ret. */
static int find_changed(const struct dump_task *task, const struct dumped_task *mine,
			const struct pagemap *pm, struct page_runs *ret, struct error *err)
{
	const struct map_area *a;

	array_for(a, &mine->areas.areas) {
		bool all = true;

		if (!(a->flags & AREA_SHARED) &&
		    dirty_collect_changed(&task->round->dirty, pm, a->start, a->end, ret, &all,
					  err))
			return -1;
		if (!all)
			continue;
		while (ret->runs.count && ret->runs.items[ret->runs.count - 1].address >= a->start)
			ret->runs.count--;
		ret->closed = ret->runs.count;
		if (page_runs_add(ret, a->start, (a->end - a->start) / PAGE_BYTES, 0))
			return no_memory(err);
	}
	return 0;
}

/* The task's own pages in one of these ranges, which lies in one area. */
static int own_in_range(const struct dumped_task *mine, const struct pagemap *pm,
			const struct pages_range *range, struct page_runs *ret, struct error *err)
{
	const struct map_area *a = map_areas_find(&mine->areas, range->address);
	uint64_t end = range->address + (uint64_t)range->pages * PAGE_BYTES;

	if (!(a->flags & AREA_SHARED))
		return pagemap_own_pages(pm, range->address, end, a->flags & AREA_HAS_HUGE, ret,
					 err);
	return a->flags & AREA_HAS_GUARDS ? pagemap_guards(pm, range->address, end, ret, err) : 0;
}

/* What nothing is known of: also a page that has not been written to since it was protected can be
 * one of another area than the last round took it for. */
static int find_unknown(const struct dumped_task *mine, const struct page_runs *stayed,
			struct page_runs *ret)
{
	_cleanup_runs_ struct page_runs all = { 0 }, unknown = { 0 };
	const struct map_area *a;

	array_for(a, &mine->areas.areas)
		if (page_runs_add(&all, a->start, (a->end - a->start) / PAGE_BYTES, 0))
			return -1;
	return page_sets(&all, PAGES_MINUS, stayed, &unknown) ||
			       page_sets_in_areas(&unknown, &mine->areas, 0, ret) ?
		       -1 :
		       0;
}

static int find_own(const struct dump_task *task, struct dumped_task *mine,
		    const struct pagemap *pm, struct error *err)
{
	_cleanup_runs_ struct page_runs changed = { 0 }, cut = { 0 }, had = { 0 }, stayed = { 0 },
					same = { 0 }, own = { 0 };
	const struct pages_range *range;

	if (find_changed(task, mine, pm, &changed, err) ||
	    memory_rounds_had(task, &mine->areas, &had, err))
		return -1;
	if (page_sets(&had, PAGES_MINUS, &changed, &stayed) ||
	    page_sets_in_areas(&stayed, &mine->areas, 0, &same) ||
	    find_unknown(mine, &stayed, &cut))
		return no_memory(err);
	array_for(range, &cut.runs)
		if (own_in_range(mine, pm, range, &own, err))
			return -1;
	if (page_sets(&same, PAGES_UNION, &own, &mine->own) ||
	    page_sets(&changed, PAGES_UNION, &(struct page_runs){ 0 }, &mine->dirty))
		return no_memory(err);
	return 0;
}

int memory_dump_own_again(struct dump_task *task, struct dumped_task *mine, struct error *err)
{
	struct pagemap pm;
	int r;

	if (pagemap_open(&pm, task->proc_fd, err))
		return -1;
	r = find_own(task, mine, &pm, err);
	fd_close(&pm.fd);
	return r;
}

/* ---- what others have wrong ---- */

/* Pages of which others have got a copy, and which are not surely what they were then: the copy
 * may have been made after they were written to. */
static int find_doubtful(struct dump *d, struct page_runs *ret)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++) {
		const struct dump_task *task = d->tasks.items[i];
		const struct dumped_task *mine = &d->memory->tasks[i];
		_cleanup_runs_ struct page_runs doubtful = { 0 }, clean = { 0 };

		if (!task->kept || task->zombie || !task->round->lent.runs.count)
			continue;
		if (page_sets(&mine->own, PAGES_MINUS, &mine->dirty, &clean) ||
		    page_sets(&task->round->lent, PAGES_MINUS, &clean, &doubtful) ||
		    add_set(ret, &doubtful))
			return -1;
	}
	return 0;
}

/* The same of tasks that are not there any more: nobody knows what they have written to. */
static int find_lost(struct dump *d, struct page_runs *ret)
{
	struct round_task **t;
	size_t i;

	array_for(t, &d->rounds->tasks) {
		for (i = 0; i < d->tasks.count; i++)
			if (d->tasks.items[i]->kept && d->tasks.items[i]->round == *t)
				break;
		if ((i == d->tasks.count || d->tasks.items[i]->zombie) && add_set(ret, &(*t)->lent))
			return -1;
	}
	return 0;
}

static int correct_copies(struct dump *d, struct error *err)
{
	_cleanup_runs_ struct page_runs doubtful = { 0 };
	size_t i;

	if (find_doubtful(d, &doubtful) || find_lost(d, &doubtful))
		return no_memory(err);
	for (i = 0; i < d->tasks.count; i++)
		if (d->tasks.items[i]->kept && add_set(&d->memory->tasks[i].dirty, &doubtful))
			return no_memory(err);
	return 0;
}

/* ---- what is brought ---- */

bool memory_dump_bears(const struct dump *d, const struct dump_task *task)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		if (!d->tasks.items[i]->kept && d->tasks.items[i]->birth == task)
			return true;
	return false;
}

int memory_dump_again(struct dump *d, struct error *err)
{
	size_t i;

	if (correct_copies(d, err))
		return -1;
	for (i = 0; i < d->tasks.count; i++) {
		const struct dump_task *task = d->tasks.items[i];
		struct dumped_task *mine = &d->memory->tasks[i];

		if (!task->kept || task->zombie)
			continue;
		if (memory_rounds_pages(task, &mine->areas, &mine->own, &mine->dirty, &mine->again,
					err))
			return -1;
		d->rounds->pages += mine->again.data.data_pages;
	}
	return 0;
}

static struct dumped_task *birth_of(struct dump *d, const struct dump_task *task, bool *ret_kept)
{
	size_t i;

	for (i = 0; task->birth && i < d->tasks.count; i++) {
		if (d->tasks.items[i] != task->birth)
			continue;
		*ret_kept = task->birth->kept;
		return task->birth->zombie ? NULL : &d->memory->tasks[i];
	}
	return NULL;
}

/* Puts the drops into a set of pages to be brought that has some already. */
static int merge_drops(struct page_runs *after, const struct page_runs *drops,
		       const struct map_areas *areas)
{
	_cleanup_runs_ struct page_runs data = { 0 }, dropped = { 0 }, cut = { 0 };
	struct page_runs all = { 0 };
	const struct pages_range *run;

	array_for(run, &after->runs) {
		struct page_runs *ret = run->flags & PAGES_DROPPED ? &dropped : &data;

		ret->closed = ret->runs.count;
		if (page_runs_add(ret, run->address, run->pages, run->flags))
			return -1;
	}
	if (add_set(&dropped, drops) ||
	    page_sets_in_areas(&dropped, areas, PAGES_DROPPED, &cut) ||
	    page_sets(&data, PAGES_UNION, &cut, &all)) {
		page_runs_release(&all);
		return -1;
	}
	page_runs_release(after);
	*after = all;
	return 0;
}

/* Guard regions that it has inherited and shall not have. */
static int drop_guards(struct dumped_task *mine)
{
	_cleanup_runs_ struct page_runs inherited = { 0 }, own = { 0 }, rest = { 0 };
	const struct page_runs *from[] = { &mine->inherited, &mine->own };
	struct page_runs *to[] = { &inherited, &own };
	const struct pages_range *run;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(from); i++)
		array_for(run, &from[i]->runs)
			if (run->flags & PAGES_GUARD &&
			    page_runs_add(to[i], run->address, run->pages, 0))
				return -1;
	return page_sets(&inherited, PAGES_MINUS, &own, &rest) ||
			       page_sets_in_areas(&rest, &mine->areas, PAGES_DROPPED,
						  &mine->again.drops) ?
		       -1 :
		       0;
}

/* Everything that a kept task has is there when others are born of it; what of it is shared, the
 * output of the sharing says. */
static int drop_inherited(struct dump *d, size_t i, struct error *err)
{
	struct dumped_task *mine = &d->memory->tasks[i], *birth;
	_cleanup_runs_ struct page_runs drops = { 0 };
	bool kept = false;

	birth = birth_of(d, d->tasks.items[i], &kept);
	if (!birth)
		return 0;
	if (memory_rounds_inherit(&birth->areas, &mine->areas,
				  kept ? &birth->own : &birth->inherited, &mine->inherited, err))
		return -1;
	if (page_sets(&mine->inherited, PAGES_MINUS, &mine->own, &drops) ||
	    (drops.runs.count && merge_drops(&mine->output.after, &drops, &mine->areas)) ||
	    drop_guards(mine))
		return no_memory(err);
	return 0;
}

int memory_dump_inherited(struct dump *d, struct error *err)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++) {
		const struct dumped_task *mine = &d->memory->tasks[i];

		if (d->tasks.items[i]->kept || d->tasks.items[i]->zombie)
			continue;
		if (drop_inherited(d, i, err))
			return -1;
		d->rounds->pages += mine->output.before.data_pages +
				    mine->output.after.data_pages +
				    mine->huge.before.data_pages + mine->huge.after.data_pages;
	}
	return 0;
}

/* ---- the end of a round ---- */

/* Which pages each task was the source of. */
static int note_lent(struct dump *d, const struct sharing_output *o)
{
	const struct pages_range *run;
	size_t i;

	for (i = 0; i < o->before.runs.count; i++) {
		struct round_task *source = d->tasks.items[o->sources.items[i]]->round;

		run = &o->before.runs.items[i];
		source->lent.closed = source->lent.runs.count;
		if (page_runs_add(&source->lent, run->address, run->pages, 0))
			return -1;
	}
	return 0;
}

static int note_all_lent(struct dump *d)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++)
		page_runs_release(&d->tasks.items[i]->round->lent);
	for (i = 0; i < d->tasks.count; i++)
		if (note_lent(d, &d->memory->tasks[i].output) ||
		    note_lent(d, &d->memory->tasks[i].huge))
			return -1;
	for (i = 0; i < d->tasks.count; i++)
		if (page_sets_sort(&d->tasks.items[i]->round->lent))
			return -1;
	return 0;
}

/* The round's task has what the run's has; it moves. */
static void settle_task(struct dump_task *task, struct dumped_task *mine)
{
	struct round_task *t = task->round;

	t->pid = task->pid;
	t->ppid = task->stat.ppid;
	t->sid = task->stat.session;
	t->start_time = task->stat.start_time;
	t->zombie = task->zombie;
	t->shares_fs = task->shares_fs;
	map_areas_release(&t->areas);
	page_runs_release(&t->sent);
	t->areas = mine->areas;
	t->sent = mine->own;
	mine->areas = (struct map_areas){ 0 };
	mine->own = (struct page_runs){ 0 };
}

int memory_rounds_end(struct dump *d, struct error *err)
{
	struct memory_rounds *m = d->rounds;
	struct round_task **t;
	size_t i;

	if (memory_rounds_settle_objects(m, d->objects, err))
		return -1;
	if (note_all_lent(d))
		return no_memory(err);
	/* Those that have ended, or were not kept. */
	array_for(t, &m->tasks) {
		for (i = 0; i < d->tasks.count && d->tasks.items[i]->round != *t; i++)
			;
		if (i == d->tasks.count)
			round_task_free(*t);
	}
	m->tasks.count = 0;
	for (i = 0; i < d->tasks.count; i++) {
		t = array_add(&m->tasks);
		if (!t)
			return no_memory(err);
		settle_task(d->tasks.items[i], &d->memory->tasks[i]);
		*t = d->tasks.items[i]->round;
		d->tasks.items[i]->kept = true;
	}
	m->complete++;
	return 0;
}
