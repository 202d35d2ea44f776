/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pages of all tasks and objects, from the stream. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"
#include "kinds/maps.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"
#include "tracee/batch.h"

enum {
	/* Fewer records than this are not worth a thread's waking … */
	RECORDS_FOR_THREADS = 8,
	/* … nor a userfaultfd. */
	RECORDS_FOR_UFFD = 16,
};

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

/* ---- what is announced ---- */

static int load_maps(struct restore_task *t, struct error *err)
{
	const Maps *m = (const Maps *)restore_task_state(t, &maps_kind);
	const struct restore *r = t->restore;
	uint32_t objects = 0;

	if (!m)
		return t->zombie ? 0 : error_set(err, ERROR_IMAGE, 0, "process %d has no maps",
						 t->pid);
	while (restore_objects_at(r->objects, objects))
		objects++;
	t->memory = calloc(1, sizeof(*t->memory));
	if (!t->memory)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d: maps", t->pid);
	fill_space_init(&t->memory->fill, t->pid);
	t->memory->exe = m->has_exe ? m->exe : 0;
	return maps_areas(m, objects, &t->memory->areas, err) ||
			       (!r->only_look && memory_check_special(r->memory, m, err)) ?
		       -1 :
		       0;
}

static int make_ready(struct restore *r, struct error *err)
{
	struct restore_task **t;

	if (!r->objects)
		r->objects = restore_objects_new(r);
	if (!r->memory)
		r->memory = calloc(1, sizeof(*r->memory));
	if (!r->objects || !r->memory)
		return error_set(err, ERROR_FAILED, ENOMEM, "memory");
	if (r->memory->ready)
		return 0;
	if (!r->memory->parts.count && memory_learn_parts(r->memory, err))
		return -1;
	array_for(t, &r->tasks)
		if (load_maps(*t, err))
			return -1;
	r->memory->ready = true;
	return 0;
}

int memory_load_object(struct restore *r, const struct kind *kind, ProtobufCMessage *message,
		       struct error *err)
{
	if (!r->objects)
		r->objects = restore_objects_new(r);
	if (!r->objects) {
		protobuf_c_message_free_unpacked(message, NULL);
		return error_set(err, ERROR_FAILED, ENOMEM, "objects");
	}
	return restore_objects_load(r->objects, kind, message, err);
}

const Memory__Set *memory_next_set(const struct restore *r)
{
	const struct restore_memory *m = r->memory;

	return m && m->announced && m->next_set < m->announced->n_sets ?
		       m->announced->sets[m->next_set] :
		       NULL;
}

int memory_unexpected(const Memory__Set *set, struct error *err)
{
	return error_set(err, ERROR_IMAGE, 0, "pages of %#llx come out of turn",
			 (unsigned long long)set->space);
}

int memory_load(struct restore *r, const struct record *record, struct error *err)
{
	ProtobufCMessage *message;

	if (make_ready(r, err))
		return -1;
	if (memory_next_set(r))
		return memory_unexpected(memory_next_set(r), err);
	if (stream_message(r->in, &memory__descriptor, &message, err))
		return -1;
	if (r->memory->announced)
		memory__free_unpacked(r->memory->announced, NULL);
	r->memory->announced = (Memory *)message;
	r->memory->next_set = 0;
	return 0;
}

static int read_set(struct restore *r, struct fill_space *space, bulk_take take,
		    struct error *err)
{
	const Memory__Set *set = memory_next_set(r);
	struct record record;
	const void *payload;
	size_t size;
	uint32_t i;
	int more;

	r->memory->next_set++;
	for (i = 0; i < set->records; i++) {
		more = stream_next(r->in, &record, err);
		if (more < 0)
			return -1;
		if (!more || record.kind != RECORD_PAGES || !(record.flags & RECORD_BULK))
			return error_set(err, ERROR_IMAGE, 0, "pages of %#llx are missing",
					 (unsigned long long)set->space);
		if (set->records >= RECORDS_FOR_THREADS) {
			if (stream_hand_out(r->in, take, space, err))
				return -1;
		} else if (stream_payload(r->in, &payload, &size, err) ||
			   take(space, payload, size, err)) {
			return -1;
		}
	}
	return 0;
}

int memory_read_set(struct restore *r, struct fill_space *space, struct error *err)
{
	return read_set(r, space, fill_take, err);
}

/* ---- tasks ---- */

/* Only the puppet itself can make a userfaultfd of its memory. Without one other ways do. */
static int make_uffd(struct restore_task *t, struct error *err)
{
	struct fill_space *s = &t->memory->fill;
	_cleanup_batch_ struct batch b = { 0 };
	int number, fd;

	if (s->uffd >= 0 || feature_hidden("userfaultfd"))
		return 0;
	batch_start(&b, &t->agent);
	batch_call(&b, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (restore_run(t, &b, err))
		return -1;
	number = batch_result(&b, 0);
	if (number < 0)
		return 0;
	fd = puppet_take_fd(t, number, err);
	if (fd < 0)
		return -1;
	if (fill_use_uffd(s, fd))
		fill_drop_uffd(s);
	return 0;
}

static bool has_huge(const struct restore_task *t)
{
	const struct map_area *a;

	array_for(a, &t->memory->areas.areas)
		if (a->flags & AREA_HAS_HUGE)
			return true;
	return false;
}

/* Among huge pages a small one is only made by userfaultfd. A kept puppet has its pages already. */
static int open_space(struct restore_task *t, const Memory__Set *set, struct error *err)
{
	t->memory->fill.pid = t->threads.items[0]->tracee.tid;
	t->memory->fill.areas = &t->memory->areas;
	if (t->kept || set->huge || (set->records < RECORDS_FOR_UFFD && !has_huge(t)))
		return 0;
	return make_uffd(t, err);
}

static int finish_space(struct restore_task *t, struct error *err);

/* Nothing else may touch the puppet's memory while it has a userfaultfd. In rounds it
 * loses what one set takes from it before the next one brings something. */
int memory_restore_shared_pages(struct restore_task *t, struct error *err)
{
	const Memory__Set *set;

	while ((set = memory_next_set(t->restore)) && t->memory && set->stage == 0 &&
	       set->space == (uint64_t)t->pid) {
		if (open_space(t, set, err) || memory_read_set(t->restore, &t->memory->fill, err) ||
		    stream_barrier(t->restore->in, err) ||
		    (t->restore->in_rounds && finish_space(t, err)))
			return -1;
	}
	if (t->memory)
		fill_drop_uffd(&t->memory->fill);
	return 0;
}

/* What only the puppet itself can do to its pages. */
static int finish_space(struct restore_task *t, struct error *err)
{
	struct page_runs *late = &t->memory->fill.late;
	_cleanup_batch_ struct batch b = { 0 };
	const struct pages_range *run;

	fill_drop_uffd(&t->memory->fill);
	batch_start(&b, &t->agent);
	array_for(run, &late->runs) {
		uint64_t size = (uint64_t)run->pages * PAGE_BYTES;

		if (!batch_has_room(&b, 2, 0)) {
			if (restore_run(t, &b, err))
				return -1;
			batch_start(&b, &t->agent);
		}
		/* In rounds there may be a guard region. */
		if (run->flags & PAGES_DROPPED && t->restore->in_rounds)
			batch_call(&b, SYS_madvise, run->address, size, MADV_GUARD_REMOVE);
		/* Huge pages are a matter of speed: where they cannot be had, small ones do. */
		if (run->flags & PAGES_HUGE)
			batch_call(&b, SYS_madvise, run->address, size, MADV_COLLAPSE);
		else
			batch_must(&b, SYS_madvise, run->address, size,
				   run->flags & PAGES_GUARD ? MADV_GUARD_INSTALL : MADV_DONTNEED);
	}
	page_runs_release(late);
	return b.records.count ? restore_run(t, &b, err) : 0;
}

static struct restore_task *task_of(const struct restore *r, const Memory__Set *set, size_t from)
{
	size_t count = r->tasks.count, i;

	/* Sets are in the order of the tasks. */
	for (i = 0; i < count; i++) {
		struct restore_task *t = r->tasks.items[(from + i) % count];

		if (set->space == (uint64_t)t->pid)
			return t;
	}
	return NULL;
}

static int read_tasks(struct restore *r, struct error *err)
{
	const Memory__Set *set;
	bool huge = true;
	size_t from = 0;

	while ((set = memory_next_set(r))) {
		struct restore_task *t = task_of(r, set, from);

		if (!t || !t->memory || !t->memory->made || set->stage != 1 ||
		    (set->huge && !huge))
			return memory_unexpected(set, err);
		/* The last huge page is there before the first userfaultfd is. */
		if (huge && !set->huge && stream_barrier(r->in, err))
			return -1;
		huge = set->huge;
		if (open_space(t, set, err) || memory_read_set(r, &t->memory->fill, err))
			return -1;
		from++;
	}
	return 0;
}

int memory_restore_pages(struct restore *r, struct error *err)
{
	int result = read_tasks(r, err);
	struct restore_task **t;

	if (stream_barrier(r->in, err) || result)
		return -1;
	array_for(t, &r->tasks)
		if ((*t)->memory && finish_space(*t, err))
			return error_wrap(err, "process %d", (*t)->pid);
	return 0;
}

/* ---- the end ---- */

int memory_finish(struct restore *r, struct error *err)
{
	return r->objects ? restore_objects_finish(r->objects, err) : 0;
}

void memory_undo(struct restore *r)
{
	restore_objects_undo(r->objects);
}

void memory_free_task(struct restore_task *t)
{
	if (!t->memory)
		return;
	fill_space_release(&t->memory->fill);
	map_areas_release(&t->memory->areas);
	map_areas_release(&t->memory->had);
	free(t->memory);
	t->memory = NULL;
}

void memory_restore_free(struct restore *r)
{
	struct restore_task **t;

	array_for(t, &r->tasks)
		memory_free_task(*t);
	if (r->memory) {
		if (r->memory->announced)
			memory__free_unpacked(r->memory->announced, NULL);
		array_release(&r->memory->parts);
		free(r->memory);
		r->memory = NULL;
	}
	restore_objects_free(r->objects);
	r->objects = NULL;
}

/* ---- looking only ---- */

static int verify_set(struct restore *r, const Memory__Set *set, struct error *err)
{
	struct fill_space space;
	int result;

	fill_space_init(&space, set->space);
	if (set->space & SPACE_OBJECT) {
		const struct restore_object *o =
			r->objects ? restore_objects_get(r->objects, set->space & UINT32_MAX)
				   : NULL;

		if (!o || set->space != (o->id | SPACE_OBJECT))
			return memory_unexpected(set, err);
		space.size = restore_object_told_size(o);
	} else {
		const struct restore_task *t = task_of(r, set, 0);

		if (!t || !t->memory)
			return memory_unexpected(set, err);
		space.areas = &t->memory->areas;
	}
	result = read_set(r, &space, fill_check, err);
	if (stream_barrier(r->in, err))
		result = -1;
	fill_space_release(&space);
	return result;
}

int memory_verify(struct restore *r, struct error *err)
{
	const Memory__Set *set;

	while ((set = memory_next_set(r)))
		if (verify_set(r, set, err))
			return -1;
	return 0;
}
