/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the other side of a pre-copy has, and who is still who. */
#include "kinds/memory_rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "images/round.pb-c.h"
#include "kinds/memory.h"
#include "kinds/objects.h"
#include "memory/page_sets.h"

/* Of an object that is not there yet, among the ids of the last round. */
#define NEW_OBJECT 0x80000000u

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
}

struct memory_rounds *memory_rounds_new(void)
{
	return calloc(1, sizeof(struct memory_rounds));
}

void round_task_free(struct round_task *t)
{
	if (!t)
		return;
	dirty_release(&t->dirty);
	map_areas_release(&t->areas);
	page_runs_release(&t->sent);
	page_runs_release(&t->lent);
	free(t);
}

void memory_rounds_free(struct memory_rounds *m)
{
	struct round_task **t;

	if (!m)
		return;
	array_for(t, &m->tasks)
		round_task_free(*t);
	array_release(&m->tasks);
	memory_rounds_drop_objects(m->objects.items, m->objects.count);
	memory_rounds_drop_objects(m->coming.items, m->coming.count);
	free(m);
}

struct round_task *memory_rounds_by_pid(const struct memory_rounds *m, pid_t pid)
{
	struct round_task **t;

	array_for(t, &m->tasks)
		if ((*t)->pid == pid)
			return *t;
	return NULL;
}

struct round_task *memory_rounds_find(const struct memory_rounds *m, const struct dump_task *task)
{
	struct round_task *t = memory_rounds_by_pid(m, task->pid);

	return t && t->start_time == task->stat.start_time ? t : NULL;
}

/* ---- records ---- */

int memory_rounds_begin(struct dump *d, bool last, struct error *err)
{
	Round m = ROUND__INIT;

	d->rounds->last = last;
	d->rounds->pages = 0;
	memory_rounds_drop_objects(d->rounds->coming.items, d->rounds->coming.count);
	d->rounds->coming.items = NULL;
	d->rounds->coming.count = d->rounds->coming.capacity = 0;
	m.number = d->rounds->number++;
	m.has_last = m.last = last;
	return stream_write(d->out, RECORD_ROUND, RECORD_CRITICAL, &m.base, err);
}

static size_t list_objects(struct dump *d, Kept__Object *objects, Kept__Object **list)
{
	struct dump_object *o;
	size_t count = 0, i;

	for (i = 0; (o = dump_objects_at(d->objects, i)); i++) {
		const struct round_object *former = memory_rounds_object(d->rounds, o);

		if (!former)
			continue;
		kept__object__init(&objects[count]);
		objects[count].id = o->id;
		objects[count].former = former->id;
		list[count] = &objects[count];
		count++;
	}
	return count;
}

int memory_rounds_write_kept(struct dump *d, struct error *err)
{
	size_t count = 0, i;
	_cleanup_free_ uint32_t *pids = calloc(d->tasks.count + 1, sizeof(*pids));
	_cleanup_free_ Kept__Object *objects = NULL, **list = NULL;
	Kept m = KEPT__INIT;

	if (!d->rounds->complete)
		return 0;
	while (dump_objects_at(d->objects, count))
		count++;
	objects = calloc(count + 1, sizeof(*objects));
	list = calloc(count + 1, sizeof(*list));
	if (!pids || !objects || !list)
		return no_memory(err);
	m.pids = pids;
	for (i = 0; i < d->tasks.count; i++)
		if (d->tasks.items[i]->kept)
			pids[m.n_pids++] = d->tasks.items[i]->pid;
	m.n_objects = list_objects(d, objects, list);
	m.objects = list;
	return stream_write(d->out, RECORD_KEPT, RECORD_CRITICAL, &m.base, err);
}

/* ---- objects ---- */

/* What changes without another object being there, or is put right when all is done. */
static bool may_change(const char *field)
{
	static const char *const names[] = { "id", "size", "mtime_ns", "seals", "removed",
					     "locked", "entry", "atime_ns" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(field, names[i]))
			return true;
	return false;
}

/* Copies the message without its pointers being followed: only its numbers are changed. */
uint64_t memory_rounds_likeness(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	_cleanup_free_ ProtobufCMessage *copy = malloc(type->sizeof_message);
	_cleanup_free_ uint8_t *packed = NULL;
	size_t size, i;

	if (!copy)
		return 0;
	memcpy(copy, message, type->sizeof_message);
	for (i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		void *value = (char *)copy + f->offset;

		if (!may_change(f->name))
			continue;
		if (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_INT64)
			memset(value, 0, sizeof(uint64_t));
		else if (f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_BOOL)
			memset(value, 0, sizeof(uint32_t));
		if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
			memset((char *)copy + f->quantifier_offset, 0, sizeof(protobuf_c_boolean));
	}
	size = protobuf_c_message_get_packed_size(copy);
	packed = malloc(size + 1);
	if (!packed)
		return 0;
	protobuf_c_message_pack(copy, packed);
	return XXH3_64bits(packed, size) | 1;
}

struct round_object *memory_rounds_object(const struct memory_rounds *m,
					  const struct dump_object *o)
{
	struct round_object *former;

	if (m->fresh)
		return NULL;
	array_for(former, &m->objects)
		if (former->kind == o->kind && former->dev == o->dev && former->ino == o->ino)
			return former->likeness == o->likeness && o->likeness ? former : NULL;
	return NULL;
}

/* ---- maps ---- */

/* The areas with the ids that their objects had in the last round. */
static int with_former_ids(const struct dump_task *task, const struct map_areas *areas,
			   struct map_areas *ret)
{
	struct dump_objects *objects = task->dump->objects;
	const struct map_area *a;

	array_for(a, &areas->areas) {
		struct map_area *copy = array_add(&ret->areas);
		const struct round_object *former;

		if (!copy)
			return -1;
		*copy = *a;
		if (!a->object)
			continue;
		former = memory_rounds_object(task->dump->rounds,
					      dump_objects_at(objects, a->object - 1));
		copy->object = former ? former->id : a->object | NEW_OBJECT;
	}
	return 0;
}

/* Huge pages come and go by themselves, but an area in which they begin to be is made anew. */
int memory_rounds_settle_areas(struct dump_task *task, struct map_areas *areas, struct error *err)
{
	const struct map_areas *had = &task->round->areas;
	struct map_area *a;

	array_for(a, &areas->areas) {
		const struct map_area *before = map_areas_above(had, a->start);

		if (!(a->flags & AREA_HUGE) || !before || before->start >= a->end ||
		    !(before->flags & AREA_HUGE))
			continue;
		a->flags &= ~AREA_HAS_HUGE;
		a->flags |= before->flags & AREA_HAS_HUGE;
	}
	return 0;
}

/* What a task loses of what it has when its map becomes this one. */
static int lost_pages(const struct map_areas *have, const struct map_areas *want,
		      struct page_runs *ret)
{
	_cleanup_map_ops_ struct map_ops ops = { 0 };
	const struct map_op *op;

	if (map_edit(have, want, &ops))
		return -1;
	array_for(op, &ops.ops)
		if (op->kind == MAP_OP_UNMAP &&
		    page_runs_add(ret, op->start, (op->end - op->start) / PAGE_BYTES, 0))
			return -1;
	return 0;
}

static int lost_of(const struct dump_task *task, const struct map_areas *areas,
		       struct page_runs *ret, struct error *err)
{
	_cleanup_areas_ struct map_areas want = { 0 };

	return with_former_ids(task, areas, &want) ||
			       lost_pages(&task->round->areas, &want, ret) ?
		       no_memory(err) :
		       0;
}

int memory_rounds_had(const struct dump_task *task, const struct map_areas *areas,
		      struct page_runs *ret, struct error *err)
{
	_cleanup_runs_ struct page_runs lost = { 0 };

	if (lost_of(task, areas, &lost, err))
		return -1;
	return page_sets(&task->round->sent, PAGES_MINUS, &lost, ret) ? no_memory(err) : 0;
}

int memory_rounds_inherit(const struct map_areas *have, const struct map_areas *want,
			  const struct page_runs *pages, struct page_runs *ret, struct error *err)
{
	_cleanup_runs_ struct page_runs lost = { 0 };

	return lost_pages(have, want, &lost) || page_sets(pages, PAGES_MINUS, &lost, ret) ?
		       no_memory(err) :
		       0;
}

/* ---- pages ---- */

/* Nothing is known of the area; in part it may have been found. */
static int take_all(const struct map_area *a, struct page_runs *ret)
{
	while (ret->runs.count && ret->runs.items[ret->runs.count - 1].address >= a->start)
		ret->runs.count--;
	ret->closed = ret->runs.count;
	return page_runs_add(ret, a->start, (a->end - a->start) / PAGE_BYTES, 0);
}

/*
 * The first look finds what is there and was written to. A page that had just gone is not found by
 * it, and may be there again when the pages are looked for: so what is not still as it was
 * protected counts, too, by a second look.
 */
static int collect_area(struct round_task *t, const struct pagemap *pm, const struct map_area *a,
			struct page_runs *ret, struct page_runs *ret_changed, struct error *err)
{
	bool all, all_changed = false;

	if (dirty_collect(&t->dirty, pm, a->start, a->end, true, ret, &all, err) ||
	    (!all && dirty_collect_changed(&t->dirty, pm, a->start, a->end, ret_changed,
					   &all_changed, err)))
		return -1;
	if ((all && take_all(a, ret)) || (all_changed && take_all(a, ret_changed)))
		return no_memory(err);
	return 0;
}

int memory_rounds_collect(struct dump_task *task, const struct map_areas *areas,
			  struct page_runs *ret, struct error *err)
{
	_cleanup_runs_ struct page_runs written = { 0 }, changed = { 0 };
	const struct map_area *a;
	struct pagemap pm;
	int r = 0;

	if (pagemap_open(&pm, task->proc_fd, err))
		return -1;
	array_for(a, &areas->areas) {
		if (!(a->flags & AREA_SHARED))
			r = collect_area(task->round, &pm, a, &written, &changed, err);
		if (r)
			break;
	}
	fd_close(&pm.fd);
	if (r)
		return -1;
	dirty_looked(&task->round->dirty);
	return page_sets(&written, PAGES_UNION, &changed, ret) ? no_memory(err) : 0;
}

static uint64_t estimate_task(struct round_task *t)
{
	_cleanup_runs_ struct page_runs dirty = { 0 };
	struct error unknown = ERROR_INIT;
	const struct map_area *a;
	uint64_t pages = 0;
	struct pagemap pm;

	_cleanup_fd_ int dir = proc_open(t->pid);
	if (dir < 0 || pagemap_open(&pm, dir, &unknown)) {
		error_clear(&unknown);
		return 0;
	}
	array_for(a, &t->areas.areas) {
		bool all = false;

		if (a->flags & AREA_SHARED)
			continue;
		if (dirty_collect(&t->dirty, &pm, a->start, a->end, false, &dirty, &all, &unknown))
			error_clear(&unknown);
	}
	fd_close(&pm.fd);
	pages = t->dirty.uffd < 0 ? t->sent.data_pages : dirty.data_pages;
	return pages;
}

uint64_t memory_rounds_estimate(const struct memory_rounds *m)
{
	struct round_task **t;
	uint64_t pages = 0;

	array_for(t, &m->tasks)
		if (!(*t)->zombie)
			pages += estimate_task(*t);
	return pages;
}

/* Divides runs into guard regions and others. */
static int divide(const struct page_runs *all, struct page_runs *guards, struct page_runs *others)
{
	const struct pages_range *run;

	array_for(run, &all->runs) {
		struct page_runs *ret = run->flags & PAGES_GUARD ? guards : others;

		ret->closed = ret->runs.count;
		if (page_runs_add(ret, run->address, run->pages, run->flags))
			return -1;
	}
	return 0;
}

/*
 * had and own, each divided. Guards that are there and shall not be are dropped like pages; what is
 * to be there in their place is then brought as if it were new.
 */
struct compared {
	struct page_runs had, had_guards, own, own_guards;
	struct page_runs clean, gone, gone_guards, data, guards;
};

static int compare(struct compared *c, const struct page_runs *dirty,
		   const struct map_areas *areas, struct round_pages *ret)
{
	_cleanup_runs_ struct page_runs drops = { 0 };

	if (page_sets(&c->had, PAGES_MINUS, dirty, &c->clean) ||
	    page_sets(&c->own, PAGES_MINUS, &c->clean, &c->data) ||
	    page_sets(&c->own_guards, PAGES_MINUS, &c->had_guards, &c->guards) ||
	    page_sets(&c->had, PAGES_MINUS, &c->own, &c->gone) ||
	    page_sets(&c->had_guards, PAGES_MINUS, &c->own_guards, &c->gone_guards) ||
	    page_sets(&c->gone, PAGES_UNION, &c->gone_guards, &drops))
		return -1;
	page_sets_clear_flags(&c->data, PAGES_HUGE);
	if (page_sets_in_areas(&drops, areas, PAGES_DROPPED, &ret->drops))
		return -1;
	return page_sets(&c->data, PAGES_UNION, &c->guards, &ret->data);
}

static void compared_release(struct compared *c)
{
	struct page_runs *const all[] = {
		&c->had, &c->had_guards, &c->own, &c->own_guards, &c->clean, &c->gone,
		&c->gone_guards, &c->data, &c->guards,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		page_runs_release(all[i]);
}

int memory_rounds_pages(const struct dump_task *task, const struct map_areas *areas,
			const struct page_runs *own, const struct page_runs *dirty,
			struct round_pages *ret, struct error *err)
{
	_cleanup_runs_ struct page_runs had = { 0 };
	struct compared c = { 0 };
	int r = memory_rounds_had(task, areas, &had, err);

	if (!r && (divide(&had, &c.had_guards, &c.had) || divide(own, &c.own_guards, &c.own) ||
		   compare(&c, dirty, areas, ret)))
		r = no_memory(err);
	compared_release(&c);
	return r;
}

void round_pages_release(struct round_pages *p)
{
	page_runs_release(&p->drops);
	page_runs_release(&p->data);
}
