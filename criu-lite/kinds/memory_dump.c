/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps and pages of all tasks, to the stream. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/memory.pb-c.h"
#include "kinds/maps.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"
#include "memory/content.h"
#include "memory/sharing.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "memory");
}

/* ---- maps ---- */

/* The program file, as /proc/PID/exe has it; 0 on error. */
static uint32_t exe_object(struct dump_task *task, struct error *err)
{
	const struct dump_object *o;
	struct object_look look;

	if (object_look_exe(&look, task->pid, task->proc_fd)) {
		error_set(err, ERROR_TARGET, errno, "process %d: cannot look at its program",
			  task->pid);
		return 0;
	}
	o = dump_objects_get(task->dump->objects, &look, err);
	return o ? o->id : 0;
}

static int dump_task_maps(struct dump_task *task, struct dumped_task *mine, struct error *err)
{
	const struct vma *vma;
	uint32_t exe;

	array_for(vma, &task->maps.vmas) {
		const struct dump_object *o = NULL;
		struct map_area *a;

		if (vma_is_special(vma))
			continue;
		/* The first System V segment of an IPC namespace is number 0. */
		if (vma->inode || vma->kind == VMA_FILE) {
			o = dump_objects_of_vma(task->dump->objects, task, vma, err);
			if (!o)
				return -1;
		}
		a = array_add(&mine->areas.areas);
		if (!a)
			return no_memory(err);
		*a = area_of_vma(vma, o ? o->id : 0);
	}
	if (task->kept && memory_rounds_settle_areas(task, &mine->areas, err))
		return -1;
	exe = exe_object(task, err);
	return exe ? maps_write(task, &mine->areas, exe, err) : -1;
}

int memory_dump_maps(struct dump *d, struct error *err)
{
	size_t i;

	if (!d->objects)
		d->objects = dump_objects_new(d);
	d->memory = calloc(1, sizeof(*d->memory));
	if (!d->objects || !d->memory)
		return no_memory(err);
	d->memory->tasks = calloc(d->tasks.count + 1, sizeof(*d->memory->tasks));
	d->memory->sources = calloc(d->tasks.count + 1, sizeof(*d->memory->sources));
	if (!d->memory->tasks || !d->memory->sources)
		return no_memory(err);
	d->memory->task_count = d->tasks.count;
	for (i = 0; i < d->tasks.count; i++)
		if (!d->tasks.items[i]->zombie &&
		    dump_task_maps(d->tasks.items[i], &d->memory->tasks[i], err))
			return -1;
	return 0;
}

/* ---- which pages ---- */

/* The /proc/PID of who has the pages. */
static int pages_dir(const struct dump_task *task)
{
	return task->twin.tid ? task->twin_proc_fd : task->proc_fd;
}

static int find_pages(struct dump_task *task, struct dumped_task *mine, struct error *err)
{
	struct pagemap pm;
	const struct map_area *a;
	int r = 0;

	if (task->kept && task->dump->rounds->last)
		return memory_dump_own_again(task, mine, err);
	if (pagemap_open(&pm, pages_dir(task), err))
		return -1;
	array_for(a, &mine->areas.areas) {
		if (!(a->flags & AREA_SHARED))
			r = pagemap_own_pages(&pm, a->start, a->end, a->flags & AREA_HAS_HUGE,
					      &mine->own, err);
		else if (a->flags & AREA_HAS_GUARDS)
			r = pagemap_guards(&pm, a->start, a->end, &mine->own, err);
		if (r)
			break;
	}
	fd_close(&pm.fd);
	return r;
}

/* While the program runs a process may end: then it has no pages any more. */
static bool pages_matter(struct dump *d, size_t i, struct error *err)
{
	if (!d->rounds || d->rounds->last)
		return true;
	log_info("process %d: %s", d->tasks.items[i]->pid, err->message);
	error_clear(err);
	page_runs_release(&d->memory->tasks[i].own);
	return false;
}

static size_t index_of(const struct dump *d, const struct dump_task *task)
{
	size_t i;

	for (i = 0; task && i < d->tasks.count; i++)
		if (d->tasks.items[i] == task)
			return i;
	return SHARING_NOBODY;
}

/* Divides the pages of all tasks into those that a task shares with its children and the rest. */
static int find_sharing(struct dump *d, struct error *err)
{
	size_t count = d->tasks.count, i;
	_cleanup_free_ struct sharing_task *tasks = calloc(count + 1, sizeof(*tasks));
	_cleanup_free_ int *proc_fds = calloc(count + 1, sizeof(*proc_fds));
	struct sharing_output *outputs = calloc(count + 1, sizeof(*outputs));
	const struct page_runs nothing = { 0 };
	int r;

	if (!tasks || !proc_fds || !outputs) {
		free(outputs);
		return no_memory(err);
	}
	for (i = 0; i < count; i++) {
		const struct dump_task *task = d->tasks.items[i];

		tasks[i] = (struct sharing_task){
			.birth = task->kept ? SHARING_NOBODY : index_of(d, task->birth),
			.areas = &d->memory->tasks[i].areas,
			.own = task->kept && !memory_dump_bears(d, task) ?
				       &nothing :
				       &d->memory->tasks[i].own,
			.complete = task->kept,
			.runs = d->rounds && !d->rounds->last,
		};
		proc_fds[i] = pages_dir(task);
	}
	r = sharing_find(tasks, proc_fds, count, outputs, err);
	for (i = 0; i < count; i++)
		d->memory->tasks[i].output = outputs[i];
	for (i = 0; i < count && !r; i++)
		r = sharing_split_huge(&d->memory->tasks[i].output, &d->memory->tasks[i].huge) ?
			    no_memory(err) :
			    0;
	free(outputs);
	return r;
}

/* ---- writing ---- */

struct set_list {
	ARRAY_OF(struct content_set) sets;
};

/* Adds a set, unless it is empty. */
static int add_set(struct set_list *list, const struct content_set *set, struct error *err)
{
	struct content_set *added;

	if (!set->runs->runs.count)
		return 0;
	added = array_add(&list->sets);
	if (!added)
		return no_memory(err);
	*added = *set;
	return content_cut(added, err);
}

/* In a round: a kept task is complete before others are born of it; first it loses pages, then it
 * gets some. A new one loses guard regions, which nothing could be written over. */
static int add_task_again(struct dump *d, struct set_list *list, size_t i, struct error *err)
{
	const struct dumped_task *mine = &d->memory->tasks[i];
	struct content_set set = {
		.space = d->tasks.items[i]->pid,
		.sources = &d->memory->sources[i],
		.runs = &mine->again.drops,
	};

	if (add_set(list, &set, err))
		return -1;
	set.runs = &mine->again.data;
	return add_set(list, &set, err);
}

static int add_task(struct dump *d, struct set_list *list, size_t i, uint32_t stage, bool huge,
		    struct error *err)
{
	const struct dumped_task *mine = &d->memory->tasks[i];
	const struct sharing_output *o = huge ? &mine->huge : &mine->output;
	const struct content_set set = {
		.space = d->tasks.items[i]->pid,
		.stage = stage,
		.huge = huge,
		.sources = stage == 0 ? d->memory->sources : &d->memory->sources[i],
		.run_sources = stage == 0 ? o->sources.items : NULL,
		.runs = stage == 0 ? &o->before : &o->after,
	};

	if (d->tasks.items[i]->kept)
		return 0;
	return add_set(list, &set, err);
}

/* Huge pages come first: a page beside them that is filled earlier would become one by mistake. */
static int add_tasks(struct dump *d, struct set_list *list, struct error *err)
{
	size_t count = d->tasks.count, i;

	for (i = 0; i < count; i++)
		if (add_task_again(d, list, i, err) || add_task(d, list, i, 0, true, err) ||
		    add_task(d, list, i, 0, false, err))
			return -1;
	for (i = 0; i < count; i++)
		if (add_task(d, list, i, 1, true, err))
			return -1;
	for (i = 0; i < count; i++)
		if (add_task(d, list, i, 1, false, err))
			return -1;
	return 0;
}

static int announce(struct dump *d, const struct set_list *list, struct error *err)
{
	size_t count = list->sets.count, i;
	_cleanup_free_ Memory__Set *sets = calloc(count + 1, sizeof(*sets));
	_cleanup_free_ Memory__Set **pointers = calloc(count + 1, sizeof(*pointers));
	Memory m = MEMORY__INIT;

	if (!sets || !pointers)
		return no_memory(err);
	for (i = 0; i < count; i++) {
		const struct content_set *set = &list->sets.items[i];

		memory__set__init(&sets[i]);
		sets[i].space = set->space;
		sets[i].records = set->cuts.count;
		sets[i].has_stage = set->stage != 1;
		sets[i].stage = set->stage;
		sets[i].has_pages = true;
		sets[i].pages = set->runs->data_pages;
		sets[i].has_huge = sets[i].huge = set->huge;
		pointers[i] = &sets[i];
	}
	m.n_sets = count;
	m.sets = pointers;
	return stream_write(d->out, RECORD_MEMORY, RECORD_CRITICAL, &m.base, err);
}

/* The contents of objects: their runs and sources, which live as long as the list. */
struct object_contents {
	struct page_runs *runs;
	struct round_pages *again;	/* in a round */
	struct content_source *sources;
	size_t count;
};

/* In a round only what has changed. */
static int add_object_again(struct dump *d, struct set_list *list, const struct dump_object *o,
			    struct content_set set, struct round_pages *again, struct error *err)
{
	if (memory_rounds_content(d->rounds, o, set.runs, again, &set.hashes, err))
		return -1;
	set.runs = &again->drops;
	if (add_set(list, &set, err))
		return -1;
	set.runs = &again->data;
	return add_set(list, &set, err);
}

static int add_objects(struct dump *d, struct set_list *list, struct object_contents *contents,
		       struct error *err)
{
	size_t count = 0, i;

	while (dump_objects_at(d->objects, count))
		count++;
	contents->runs = calloc(count + 1, sizeof(*contents->runs));
	contents->sources = calloc(count + 1, sizeof(*contents->sources));
	contents->again = calloc(count + 1, sizeof(*contents->again));
	if (!contents->runs || !contents->sources || !contents->again)
		return no_memory(err);
	contents->count = count;
	for (i = 0; i < count; i++) {
		const struct dump_object *o = dump_objects_at(d->objects, i);
		const struct content_set set = {
			.space = o->id | SPACE_OBJECT,
			.stage = 1,
			.sources = &contents->sources[i],
			.runs = &contents->runs[i],
		};

		if (!o->has_content)
			continue;
		contents->sources[i] = (struct content_source){
			.fd = o->fd,
			.size = o->size,
			.runs = d->rounds && !d->rounds->last,
		};
		if (content_file_runs(o->fd, o->size, &contents->runs[i], err) ||
		    (d->rounds ?
			     add_object_again(d, list, o, set, &contents->again[i], err) :
			     add_set(list, &set, err)))
			return error_wrap(err, "%s %u", o->kind->name, o->id);
	}
	return 0;
}

static int write_sets(struct dump *d, struct set_list *list, struct error *err)
{
	return announce(d, list, err) ||
			       content_write(d->out, list->sets.items, list->sets.count, err) ?
		       -1 :
		       0;
}

static void set_list_release(struct set_list *list)
{
	struct content_set *set;

	array_for(set, &list->sets)
		content_set_release(set);
	array_release(&list->sets);
}

int memory_dump_objects(struct dump *d, struct error *err)
{
	struct object_contents contents = { 0 };
	struct set_list list = { 0 };
	size_t i;
	int r;

	/* Only now all objects are known. */
	if (d->rounds && memory_rounds_write_kept(d, err))
		return -1;
	r = add_objects(d, &list, &contents, err) || write_sets(d, &list, err) ? -1 : 0;

	set_list_release(&list);
	for (i = 0; i < contents.count; i++) {
		page_runs_release(&contents.runs[i]);
		round_pages_release(&contents.again[i]);
	}
	free(contents.runs);
	free(contents.again);
	free(contents.sources);
	return r;
}

int memory_dump_pages(struct dump *d, struct error *err)
{
	struct set_list list = { 0 };
	size_t i;
	int r;

	if (d->rounds)
		memory_dump_dirty(d, err);
	for (i = 0; i < d->tasks.count; i++) {
		struct dump_task *task = d->tasks.items[i];

		if (task->zombie)
			continue;
		d->memory->sources[i].pid = task->twin.tid ? task->twin.tid :
							     task->threads.items[0].tid;
		d->memory->sources[i].runs = d->rounds && !d->rounds->last;
		if (find_pages(task, &d->memory->tasks[i], err) && pages_matter(d, i, err))
			return error_wrap(err, "process %d", task->pid);
	}
	if ((d->rounds && memory_dump_again(d, err)) || find_sharing(d, err) ||
	    (d->rounds && memory_dump_inherited(d, err)))
		return -1;
	r = add_tasks(d, &list, err);
	if (!r)
		r = write_sets(d, &list, err);
	set_list_release(&list);
	return r;
}

void memory_dump_free(struct dump *d)
{
	size_t i;

	if (d->memory) {
		for (i = 0; i < d->memory->task_count; i++) {
			struct dumped_task *mine = &d->memory->tasks[i];

			map_areas_release(&mine->areas);
			page_runs_release(&mine->own);
			sharing_output_release(&mine->output);
			sharing_output_release(&mine->huge);
			page_runs_release(&mine->dirty);
			page_runs_release(&mine->inherited);
			round_pages_release(&mine->again);
		}
		free(d->memory->tasks);
		free(d->memory->sources);
		free(d->memory);
		d->memory = NULL;
	}
	dump_objects_free(d->objects);
	d->objects = NULL;
}
