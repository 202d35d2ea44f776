/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor engine, restore side: taking the messages in and checking them. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "kinds/restore_set.h"

int restore_files_new(struct restore *run, enum stdio_policy stdio, const char *stdio_file,
		      struct error *err)
{
	struct restore_files *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	r->run = run;
	r->stdio = stdio;
	r->stdio_file = stdio_file;
	run->files = r;
	return 0;
}

static void slot_free(struct restore_slot *slot)
{
	fd_close(&slot->file.fd);
	if (slot->file.message)
		protobuf_c_message_free_unpacked(slot->file.message, NULL);
	free(slot->file.data);
	free(slot);
}

void restore_files_forget(struct restore_files *r)
{
	for (size_t i = 0; i < r->files.count; i++)
		slot_free(r->files.items[i]);
	r->files.count = 0;
	for (size_t i = 0; i < SHARED_BUCKETS; i++)
		while (r->shared[i]) {
			struct shared_slot *slot = r->shared[i];

			r->shared[i] = slot->next;
			free(slot->value);
			free(slot);
		}
}

void restore_files_free(struct restore_files *r)
{
	if (!r)
		return;
	restore_files_forget(r);
	array_release(&r->files);
	array_release(&r->leftovers);
	free(r->by_id);
	free(r->by_opener);
	free(r);
}

/* Field 2 of every message of a descriptor kind. */
static const FileCommon *message_common(const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(message->descriptor, 2);

	if (!field || field->label != PROTOBUF_C_LABEL_REQUIRED ||
	    field->type != PROTOBUF_C_TYPE_MESSAGE || field->descriptor != &file_common__descriptor)
		return NULL;
	return *(FileCommon *const *)((const char *)message + field->offset);
}

const FileCommon *restore_file_common(const struct restore_file *f)
{
	return message_common(f->message);
}

int restore_files_add(struct restore_files *r, const struct kind *kind, ProtobufCMessage *message,
		      struct error *err)
{
	struct restore_slot *slot = calloc(1, sizeof(*slot));
	struct restore_slot **place = slot ? array_add(&r->files) : NULL;

	if (!place) {
		protobuf_c_message_free_unpacked(message, NULL);
		free(slot);
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	}
	*place = slot;
	slot->order = r->files.count - 1;
	slot->number = -1;
	slot->file.id = kind_message_id(message);
	slot->file.kind = kind;
	slot->file.message = message;
	slot->file.fd = -1;
	if (!slot->file.id)
		return error_set(err, ERROR_IMAGE, 0, "%s: description 0", kind->name);
	if (!message_common(message))
		return error_set(err, ERROR_IMAGE, 0, "%s %u: no flags", kind->name, slot->file.id);
	return 0;
}

struct restore *restore_files_run(struct restore_files *r)
{
	return r->run;
}

enum stdio_policy restore_files_stdio(const struct restore_files *r, const char **ret_file)
{
	*ret_file = r->stdio_file;
	return r->stdio;
}

struct restore_file *restore_files_at(struct restore_files *r, size_t index)
{
	return index < r->files.count ? &r->files.items[index]->file : NULL;
}

static int compare_id(const void *key, const void *item)
{
	const struct restore_slot *slot = *(struct restore_slot *const *)item;
	uint32_t id = *(const uint32_t *)key, other = slot->file.id;

	return id < other ? -1 : id > other;
}

struct restore_file *restore_files_get(struct restore_files *r, uint32_t id)
{
	struct restore_slot **found = NULL;

	if (r->by_id)
		found = bsearch(&id, r->by_id, r->files.count, sizeof(*r->by_id), compare_id);
	return found ? &(*found)->file : NULL;
}

void **restore_files_shared(struct restore_files *r, const struct kind *kind, uint64_t key)
{
	uint64_t hash = (key ^ key >> 17 ^ kind->record) % SHARED_BUCKETS;
	struct shared_slot *slot;

	for (slot = r->shared[hash]; slot; slot = slot->next)
		if (slot->kind == kind && slot->key == key)
			return &slot->value;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return NULL;
	*slot = (struct shared_slot){ .kind = kind, .key = key, .next = r->shared[hash] };
	r->shared[hash] = slot;
	return &slot->value;
}

const FdTable *restore_table(const struct restore_task *t)
{
	return t->zombie ? NULL : (const FdTable *)restore_task_state(t, &descriptors_kind);
}

int restore_file_number(const struct restore_files *r, const struct restore_file *f,
			const struct restore_task *t)
{
	const FdTable *table = restore_table(t);

	for (size_t i = 0; table && i < table->n_entries; i++)
		if (table->entries[i]->file == f->id)
			return table->entries[i]->number;
	return -1;
}

void *restore_file_data(struct restore_file *f, const void *fresh, size_t size, struct error *err)
{
	if (f->data)
		return f->data;
	f->data = malloc(size);
	if (f->data)
		memcpy(f->data, fresh, size);
	else
		error_set(err, ERROR_FAILED, ENOMEM, "description %u", f->id);
	return f->data;
}

const char *restore_file_name(struct restore_file *f)
{
	struct restore_slot *slot = restore_slot_of(f);

	if (slot->number < 0)
		snprintf(slot->name, sizeof(slot->name), "descriptor in a queue");
	else
		snprintf(slot->name, sizeof(slot->name), "process %d: descriptor %d",
			 f->opener->pid, slot->number);
	return slot->name;
}

/* ---- checks ---- */

static int sort_id(const void *a, const void *b)
{
	return compare_id(&(*(struct restore_slot *const *)a)->file.id, b);
}

static int sort_opener(const void *a, const void *b)
{
	const struct restore_slot *x = *(struct restore_slot *const *)a;
	const struct restore_slot *y = *(struct restore_slot *const *)b;

	if (x->opener_order != y->opener_order)
		return x->opener_order < y->opener_order ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int index_files(struct restore_files *r, struct error *err)
{
	size_t count = r->files.count;

	r->by_id = calloc(count + 1, sizeof(*r->by_id));
	r->by_opener = calloc(count + 1, sizeof(*r->by_opener));
	if (!r->by_id || !r->by_opener)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	if (count) {
		memcpy(r->by_id, r->files.items, count * sizeof(*r->by_id));
		memcpy(r->by_opener, r->files.items, count * sizeof(*r->by_opener));
	}
	qsort(r->by_id, count, sizeof(*r->by_id), sort_id);
	for (size_t i = 1; i < count; i++)
		if (r->by_id[i - 1]->file.id == r->by_id[i]->file.id)
			return error_set(err, ERROR_IMAGE, 0, "two descriptions have the id %u",
					 r->by_id[i]->file.id);
	return 0;
}

static int check_table(struct restore_files *r, size_t order, rlim_t limit, struct error *err)
{
	struct restore_task *t = r->run->tasks.items[order];
	const FdTable *table = restore_table(t);

	if (!table)
		return error_set(err, ERROR_IMAGE, 0, "process %d has no descriptor table", t->pid);
	for (size_t i = 0; i < table->n_entries; i++) {
		const FdTable__Entry *entry = table->entries[i];
		struct restore_file *f = restore_files_get(r, entry->file);

		if (entry->number >= INT_MAX ||
		    (i && entry->number <= table->entries[i - 1]->number))
			return error_set(err, ERROR_IMAGE, 0, "process %d: descriptor %u is out of "
					 "order", t->pid, entry->number);
		if (!f)
			return error_set(err, ERROR_IMAGE, 0, "process %d: descriptor %u: there is "
					 "no description %u", t->pid, entry->number, entry->file);
		if (f->opener)
			continue;
		f->opener = t;
		restore_slot_of(f)->opener_order = order;
		restore_slot_of(f)->number = entry->number;
	}
	if (!table->n_entries)
		return 0;
	if (r->run->only_look)
		return 0;
	/* The hand-over socket needs a number too. */
	if (table->entries[table->n_entries - 1]->number >= limit || table->n_entries >= limit) {
		error_set(err, ERROR_FAILED, 0, "process %d: descriptor %u is above the limit of "
			  "open files, %llu", t->pid, table->entries[table->n_entries - 1]->number,
			  (unsigned long long)limit);
		return error_hint(err, "raise the hard limit (ulimit -Hn) of criu-lite restore");
	}
	return 0;
}

/* Our own limit must allow one descriptor for each description, and the puppets inherit it. */
static int raise_limit(struct restore_files *r, rlim_t *ret, struct error *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return error_set(err, ERROR_FAILED, errno, "RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return error_set(err, ERROR_FAILED, errno, "RLIMIT_NOFILE");
	*ret = limit.rlim_max;
	return 0;
}

static int check_limit(struct restore_files *r, rlim_t *ret, struct error *err)
{
	enum { OUR_OWN = 100 };

	if (raise_limit(r, ret, err))
		return -1;
	if (r->files.count + OUR_OWN <= *ret)
		return 0;
	error_set(err, ERROR_FAILED, 0, "%zu open files are too many for the limit of open files, "
		  "%llu", r->files.count, (unsigned long long)*ret);
	return error_hint(err, "raise the hard limit (ulimit -Hn) of criu-lite restore");
}

static int verify_file(struct restore_files *r, struct restore_file *f, struct error *err)
{
	if (restore_file_common(f)->position < 0)
		return error_set(err, ERROR_IMAGE, 0, "%s (%s): position %lld",
				 restore_file_name(f), f->kind->name,
				 (long long)restore_file_common(f)->position);
	if (f->kind->file->verify && f->kind->file->verify(r, f, err))
		return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
	return 0;
}

int restore_files_check(struct restore_files *r, struct error *err)
{
	rlim_t limit = 0;

	/* Puppets inherit it, but what they shall open comes with the last round. */
	if (r->run->in_rounds && !r->run->last_round)
		return r->run->only_look ? 0 : raise_limit(r, &limit, err);
	if ((!r->run->only_look && check_limit(r, &limit, err)) || index_files(r, err))
		return -1;
	for (size_t i = 0; i < r->run->tasks.count; i++)
		if (!r->run->tasks.items[i]->zombie && check_table(r, i, limit, err))
			return -1;
	for (size_t i = 0; i < r->files.count; i++)
		if (!r->files.items[i]->file.opener)
			r->files.items[i]->file.opener = r->run->tasks.items[0];
	qsort(r->by_opener, r->files.count, sizeof(*r->by_opener), sort_opener);
	for (size_t i = 0; i < r->files.count; i++)
		if (verify_file(r, &r->files.items[i]->file, err))
			return -1;
	return 0;
}
