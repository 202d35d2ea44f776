/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a round goes on in the next one, restore side. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "images/round.pb-c.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"

/* Of an object that is not there any more: no id of this round. */
#define GONE_OBJECT 0x80000000u

void memory_keep(struct restore_task *t, struct restore_task *former)
{
	struct task_memory *to = t->memory, *from = former->memory;

	if (!to || !from)
		return;
	to->kept = from->made;
	to->had = from->areas;
	to->had_exe = from->exe;
	from->areas = (struct map_areas){ 0 };
}

static uint32_t new_id(const uint32_t *ids, size_t count, uint32_t former)
{
	if (!former)
		return 0;
	return former <= count && ids[former] ? ids[former] : former | GONE_OBJECT;
}

/* The areas that puppets have get the ids of the new round. */
static void translate(struct restore *r, const uint32_t *ids, size_t count)
{
	struct restore_task **t;
	struct map_area *a;

	array_for(t, &r->tasks) {
		if (!(*t)->memory || !(*t)->memory->kept)
			continue;
		array_for(a, &(*t)->memory->had.areas)
			a->object = new_id(ids, count, a->object);
		(*t)->memory->had_exe = new_id(ids, count, (*t)->memory->had_exe);
	}
}

static int keep_objects(struct restore *r, struct restore_objects *former, uint32_t *ids,
			struct error *err)
{
	size_t i;

	for (i = 0; r->kept && i < r->kept->n_objects; i++) {
		const Kept__Object *m = r->kept->objects[i];
		struct restore_object *o = restore_objects_get(r->objects, m->id);
		struct restore_object *f = restore_objects_get(former, m->former);

		if (!o || !f || ids[m->former])
			return error_set(err, ERROR_IMAGE, 0, "object %u cannot go on as %u",
					 m->former, m->id);
		if (restore_object_keep(o, f, err))
			return -1;
		ids[m->former] = m->id;
	}
	return 0;
}

int memory_keep_objects(struct restore *r, struct restore_objects *former, struct error *err)
{
	size_t count = 0;
	uint32_t *ids;
	int result;

	while (former && restore_objects_at(former, count))
		count++;
	ids = calloc(count + 1, sizeof(*ids));
	result = ids ? keep_objects(r, former, ids, err) :
		       error_set(err, ERROR_FAILED, ENOMEM, "objects");
	if (!result)
		translate(r, ids, count);
	free(ids);
	restore_objects_undo(former);
	restore_objects_free(former);
	return result;
}

int memory_check_files(struct restore *r, struct error *err)
{
	struct restore_object *o;
	struct restore_task **t;
	const struct map_area *a;
	size_t count = 0;
	bool *seen;
	int result = 0;

	while (r->objects && restore_objects_at(r->objects, count))
		count++;
	seen = calloc(count + 1, sizeof(*seen));
	if (!seen)
		return error_set(err, ERROR_FAILED, ENOMEM, "objects");
	array_for(t, &r->tasks) {
		if (!(*t)->memory)
			continue;
		array_for(a, &(*t)->memory->areas.areas) {
			o = a->object && !seen[a->object] ?
				    restore_objects_get(r->objects, a->object) :
				    NULL;
			seen[a->object] = true;
			if (o && !result)
				result = restore_object_check(o, O_RDONLY, err);
		}
	}
	free(seen);
	return result;
}

void memory_forget(struct restore *r)
{
	struct restore_memory *m = r->memory;

	if (!m)
		return;
	m->ready = false;
	if (m->announced)
		memory__free_unpacked(m->announced, NULL);
	m->announced = NULL;
	m->next_set = 0;
}
