/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The contents of objects, from the stream. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"
#include "tracee/batch.h"

enum {
	MAPPED_AT_ONCE = 128,	/* descriptors in one message */
	TMPFS = 0x01021994,	/* linux/magic.h */
};

struct content {
	struct restore_object *object;
	struct fill_space space;
};

struct contents {
	struct content *items;
	size_t count;
};

/* Which objects the next sets fill. */
static int find_objects(struct restore *r, struct contents *c, struct error *err)
{
	const Memory *m = r->memory->announced;
	size_t i;

	c->items = calloc(m->n_sets, sizeof(*c->items));
	if (!c->items)
		return error_set(err, ERROR_FAILED, ENOMEM, "objects");
	for (i = r->memory->next_set; i < m->n_sets && m->sets[i]->space & SPACE_OBJECT; i++) {
		const Memory__Set *set = m->sets[i];
		struct restore_object *o = restore_objects_get(r->objects,
							       set->space & UINT32_MAX);
		struct content *one = &c->items[c->count];

		if (!o || set->space != (o->id | SPACE_OBJECT) || !o->has_content || o->fd < 0)
			return memory_unexpected(set, err);
		fill_space_init(&one->space, set->space);
		one->object = o;
		one->space.fd = o->fd;
		one->space.size = o->size;
		c->count++;
	}
	return 0;
}

static bool is_memory(const struct restore_object *o)
{
	struct statfs fs;

	return !fstatfs(o->fd, &fs) && fs.f_type == TMPFS && o->size;
}

/* Maps some in the root puppet; the next thing that happens to its map is to be emptied, or they
 * are unmapped. */
static int map_some(struct restore_task *root, struct content *const *some, int count,
		    struct error *err)
{
	struct tracee *held = &root->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };
	int fds[MAPPED_AT_ONCE], numbers[MAPPED_AT_ONCE], i;
	struct hand_over hand;

	for (i = 0; i < count; i++)
		fds[i] = some[i]->space.fd;
	batch_start(&b, &root->agent);
	if (puppet_send_fds(root, fds, count, &b, &hand, err) || restore_run(root, &b, err))
		return -1;
	for (i = 0; i < count; i++)
		numbers[i] = puppet_received(&b, &hand, i);
	batch_start(&b, &root->agent);
	for (i = 0; i < count; i++)
		batch_call(&b, SYS_mmap, 0, some[i]->space.size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, numbers[i], 0);
	for (i = 0; i < count; i++)
		batch_must(&b, SYS_close, numbers[i]);
	if (restore_run(root, &b, err))
		return -1;
	for (i = 0; i < count; i++) {
		if (batch_result(&b, i) < 0)
			continue;
		some[i]->space.pid = held->tid;
		some[i]->space.mapped = batch_result(&b, i);
	}
	return 0;
}

/* Memory belongs to the cgroup of who touches it first: that must be a puppet, not us. */
static int map_memory(struct restore *r, struct contents *c, struct error *err)
{
	struct restore_task *root = r->tasks.items[0];
	struct content *some[MAPPED_AT_ONCE];
	int count = 0;
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (is_memory(c->items[i].object))
			some[count++] = &c->items[i];
		if (count && (count == MAPPED_AT_ONCE || i + 1 == c->count)) {
			if (map_some(root, some, count, err))
				return -1;
			count = 0;
		}
	}
	return 0;
}

static int unmap_memory(struct restore *r, const struct contents *c, struct error *err)
{
	struct restore_task *root = r->tasks.items[0];
	_cleanup_batch_ struct batch b = { 0 };
	size_t i;

	if (!root->kept)
		return 0;
	batch_start(&b, &root->agent);
	for (i = 0; i < c->count; i++) {
		if (!c->items[i].space.mapped)
			continue;
		if (!batch_has_room(&b, 1, 0)) {
			if (restore_run(root, &b, err))
				return -1;
			batch_start(&b, &root->agent);
		}
		batch_must(&b, SYS_munmap, c->items[i].space.mapped, c->items[i].space.size);
	}
	return b.records.count ? restore_run(root, &b, err) : 0;
}

/* A file that we hold open for writing cannot become a program. */
static int stop_writing(struct restore *r, struct error *err)
{
	struct restore_task **t;

	array_for(t, &r->tasks) {
		struct restore_object *o =
			(*t)->memory ? restore_objects_get(r->objects, (*t)->memory->exe) : NULL;

		if (o && o->has_content && restore_object_stop_writing(o, err))
			return -1;
	}
	return 0;
}

static int fill(struct restore *r, struct contents *c, struct error *err)
{
	size_t i;
	int result = map_memory(r, c, err);

	for (i = 0; i < c->count && !result; i++)
		result = memory_read_set(r, &c->items[i].space, err);
	/* Whatever failed, nothing of the workers may look at the spaces afterwards. */
	return stream_barrier(r->in, err) || result || unmap_memory(r, c, err) ? -1 : 0;
}

int memory_restore_objects(struct restore *r, struct error *err)
{
	const Memory__Set *set = memory_next_set(r);
	struct contents c = { 0 };
	size_t i;
	int result;

	if (!r->objects)
		return 0;
	if (restore_objects_create(r->objects, err))
		return -1;
	if (!set || !(set->space & SPACE_OBJECT))
		return 0;
	result = find_objects(r, &c, err) || fill(r, &c, err) ? -1 : 0;
	for (i = 0; i < c.count; i++)
		fill_space_release(&c.items[i].space);
	free(c.items);
	return result || stop_writing(r, err) ? -1 : 0;
}
