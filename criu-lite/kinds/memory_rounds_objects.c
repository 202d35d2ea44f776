/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of objects in rounds: pages are compared by their hashes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kinds/memory_rounds.h"
#include "kinds/objects.h"
#include "memory/page_sets.h"

enum { BYTES_AT_ONCE = 1 << 20 };

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
}

void memory_rounds_drop_objects(struct round_object *objects, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		page_runs_release(&objects[i].sent);
		free(objects[i].hashes);
	}
	free(objects);
}

/* The pages of one run that are not what their hashes say. A page that cannot be read (any more) is
 * left to the one who writes it. */
static int compare_run(const struct dump_object *o, const struct pages_range *run, char *room,
		       const uint64_t *hashes, struct page_runs *ret)
{
	uint64_t at = run->address, end = at + (uint64_t)run->pages * PAGE_BYTES, i;

	while (at < end) {
		size_t size = end - at < BYTES_AT_ONCE ? end - at : BYTES_AT_ONCE;
		ssize_t got = pread_full(o->fd, room, size, at);

		got = got < 0 ? 0 : got;
		memset(room + got, 0, size - got);
		for (i = 0; i < size / PAGE_BYTES; i++)
			if (XXH3_64bits(room + i * PAGE_BYTES, PAGE_BYTES) !=
				    hashes[at / PAGE_BYTES + i] &&
			    page_runs_add(ret, at + i * PAGE_BYTES, 1, 0))
				return -1;
		at += size;
	}
	return 0;
}

static int compare(const struct dump_object *o, const struct page_runs *pages,
		   const uint64_t *hashes, struct page_runs *ret)
{
	_cleanup_free_ char *room = malloc(BYTES_AT_ONCE);
	const struct pages_range *run;

	if (!room)
		return -1;
	array_for(run, &pages->runs)
		if (compare_run(o, run, room, hashes, ret))
			return -1;
	return 0;
}

/* What lies within the object's size. */
static int within(const struct page_runs *sent, uint64_t size, struct page_runs *ret)
{
	_cleanup_runs_ struct page_runs all = { 0 };
	uint64_t pages = (size + PAGE_BYTES - 1) / PAGE_BYTES;

	return (pages && page_runs_add(&all, 0, pages, 0)) ||
			       page_sets(sent, PAGES_COMMON, &all, ret) ?
		       -1 :
		       0;
}

/* Only what both have can be unchanged. */
static int find_changes(const struct dump_object *o, const struct round_object *former,
			const struct page_runs *data, struct round_pages *ret)
{
	_cleanup_runs_ struct page_runs had = { 0 }, both = { 0 }, changed = { 0 }, same = { 0 };

	if (within(&former->sent, o->size, &had) || page_sets(data, PAGES_COMMON, &had, &both) ||
	    compare(o, &both, former->hashes, &changed) ||
	    page_sets(&both, PAGES_MINUS, &changed, &same) ||
	    page_sets(data, PAGES_MINUS, &same, &ret->data) ||
	    page_sets(&had, PAGES_MINUS, data, &ret->drops))
		return -1;
	for (size_t i = 0; i < ret->drops.runs.count; i++)
		ret->drops.runs.items[i].flags = PAGES_DROPPED;
	ret->drops.data_pages = 0;
	return 0;
}

/* Room for the hash of each page, with those that are known. */
static uint64_t *new_hashes(const struct round_object *former, size_t count)
{
	uint64_t *hashes = calloc(count + 1, sizeof(*hashes));
	size_t known = former && former->hash_count < count ? former->hash_count : count;

	if (hashes && former)
		memcpy(hashes, former->hashes, known * sizeof(*hashes));
	return hashes;
}

int memory_rounds_content(struct memory_rounds *m, const struct dump_object *o,
			  const struct page_runs *found, struct round_pages *ret,
			  uint64_t **ret_hashes, struct error *err)
{
	const struct round_object *former = memory_rounds_object(m, o);
	struct round_object *coming = array_add(&m->coming);
	const struct page_runs *data;

	if (!coming)
		return no_memory(err);
	coming->id = o->id;
	coming->hash_count = (o->size + PAGE_BYTES - 1) / PAGE_BYTES;
	coming->hashes = new_hashes(former, coming->hash_count);
	/* It may have grown since its message was made. */
	if (!coming->hashes || within(found, o->size, &coming->sent))
		return no_memory(err);
	data = &coming->sent;
	*ret_hashes = coming->hashes;
	if (former ? find_changes(o, former, data, ret) :
		     page_sets(data, PAGES_UNION, &(struct page_runs){ 0 }, &ret->data))
		return no_memory(err);
	m->pages += ret->data.data_pages;
	return 0;
}

static struct round_object *find_coming(struct memory_rounds *m, uint32_t id)
{
	struct round_object *o;

	array_for(o, &m->coming)
		if (o->id == id)
			return o;
	return NULL;
}

int memory_rounds_settle_objects(struct memory_rounds *m, struct dump_objects *objects,
				 struct error *err)
{
	const struct dump_object *o;
	size_t i;

	memory_rounds_drop_objects(m->objects.items, m->objects.count);
	m->objects.items = NULL;
	m->objects.count = m->objects.capacity = 0;
	for (i = 0; (o = dump_objects_at(objects, i)); i++) {
		struct round_object *there = array_add(&m->objects);
		struct round_object *coming = find_coming(m, o->id);

		if (!there)
			return no_memory(err);
		if (coming) {
			*there = *coming;
			*coming = (struct round_object){ 0 };
		}
		there->id = o->id;
		there->kind = o->kind;
		there->dev = o->dev;
		there->ino = o->ino;
		there->likeness = o->likeness;
	}
	memory_rounds_drop_objects(m->coming.items, m->coming.count);
	m->coming.items = NULL;
	m->coming.count = m->coming.capacity = 0;
	return 0;
}
