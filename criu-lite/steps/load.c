/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/load.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "images/round.pb-c.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/objects.h"
#include "steps/records.h"

/* More processes and threads than we could bring back, and few enough to take memory for. */
enum { THREADS_MAX = 1 << 18 };

static struct restore_thread *add_thread(struct restore_task *t, pid_t tid)
{
	struct restore_thread *thread = calloc(1, sizeof(*thread)), **slot = NULL;

	if (thread) {
		thread->task = t;
		thread->tid = tid;
		thread->state = calloc(kinds_count(), sizeof(*thread->state));
		if (thread->state)
			slot = array_add(&t->threads);
	}
	if (!slot) {
		if (thread)
			free(thread->state);
		free(thread);
		return NULL;
	}
	return *slot = thread;
}

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "tree");
}

static int add_task(struct restore *r, const TreeTask *m, struct error *err)
{
	struct restore_task *t = calloc(1, sizeof(*t)), **slot = array_add(&r->tasks);
	size_t i;

	if (!t || !slot) {
		free(t);
		if (slot)
			r->tasks.count--;
		return no_memory(err);
	}
	*slot = t;
	t->restore = r;
	t->pid = m->pid;
	t->sid = m->sid;
	t->pgid = m->pgid;
	t->pidfd = t->service_fd = -1;
	t->zombie = m->zombie;
	t->shares_fs = m->shares_fs;
	t->number = r->tasks.count - 1;
	t->state = calloc(kinds_count(), sizeof(*t->state));
	/* A zombie, or a leader that is gone, is borne by a thread that exits again. */
	if (!t->state || !add_thread(t, m->pid))
		return no_memory(err);
	if (!m->zombie && !m->n_tids)
		return error_set(err, ERROR_IMAGE, 0, "process %u has no thread", m->pid);
	for (i = 0; i < m->n_tids; i++) {
		if (m->tids[i] == m->pid && i == 0 && !m->leader_gone)
			continue;
		if (m->tids[i] == m->pid || !m->tids[i] || m->tids[i] > INT32_MAX ||
		    (i == 0 && !m->leader_gone))
			return error_set(err, ERROR_IMAGE, 0, "process %u has a thread %u", m->pid,
					 m->tids[i]);
		if (!add_thread(t, m->tids[i]))
			return no_memory(err);
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct restore_thread *x = *(struct restore_thread *const *)a;
	const struct restore_thread *y = *(struct restore_thread *const *)b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int list_ids(struct restore *r, struct error *err)
{
	struct restore_thread **slot;
	size_t i, k;

	for (i = 0; i < r->tasks.count; i++) {
		for (k = 0; k < r->tasks.items[i]->threads.count; k++) {
			slot = array_add(&r->by_id);
			if (!slot)
				return no_memory(err);
			*slot = r->tasks.items[i]->threads.items[k];
		}
	}
	qsort(r->by_id.items, r->by_id.count, sizeof(*r->by_id.items), compare_ids);
	for (i = 1; i < r->by_id.count; i++)
		if (r->by_id.items[i]->tid == r->by_id.items[i - 1]->tid)
			return error_set(err, ERROR_IMAGE, 0, "task %d is there twice",
					 r->by_id.items[i]->tid);
	return 0;
}

static struct restore_thread *find_thread(const struct restore *r, uint32_t tid)
{
	const struct restore_thread wanted = { .tid = tid }, *key = &wanted;
	struct restore_thread **found = bsearch(&key, r->by_id.items, r->by_id.count,
						sizeof(*r->by_id.items), compare_ids);

	return found ? *found : NULL;
}

static struct restore_task *find_task(const struct restore *r, uint32_t pid)
{
	struct restore_thread *leader = find_thread(r, pid);

	return leader && leader->task->pid == leader->tid ? leader->task : NULL;
}

/* A parent stands before its children; what is none is found out when the tree is planned. */
static void find_parent(struct restore *r, struct restore_task *t, uint32_t ppid)
{
	struct restore_task *parent = find_task(r, ppid);

	t->parent = parent && parent->number < t->number ? parent : NULL;
}

static int check_size(const Tree *tree, struct error *err)
{
	size_t threads = tree->n_tasks, i;

	for (i = 0; i < tree->n_tasks; i++)
		threads += tree->tasks[i]->n_tids;
	if (!tree->n_tasks || threads > THREADS_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a tree of %zu processes with %zu threads",
				 tree->n_tasks, threads);
	return 0;
}

static int load_tree(struct restore *r, Tree **ret, struct error *err)
{
	ProtobufCMessage *message;
	size_t i;

	if (*ret)
		return error_set(err, ERROR_IMAGE, 0, "the image has two trees");
	if (stream_message(r->in, &tree__descriptor, &message, err))
		return -1;
	*ret = (Tree *)message;
	if (check_size(*ret, err))
		return -1;
	for (i = 0; i < (*ret)->n_tasks; i++)
		if (add_task(r, (*ret)->tasks[i], err))
			return -1;
	if (list_ids(r, err))
		return -1;
	for (i = 0; i < (*ret)->n_tasks; i++)
		find_parent(r, r->tasks.items[i], (*ret)->tasks[i]->ppid);
	return 0;
}

/* Puts a message where its owner keeps it; *slot takes it over. */
static int keep(ProtobufCMessage **slot, const struct kind *kind, ProtobufCMessage *message,
		struct error *err)
{
	if (*slot) {
		error_set(err, ERROR_IMAGE, 0, "%s %u is there twice", kind->name,
			  kind_message_id(message));
		protobuf_c_message_free_unpacked(message, NULL);
		return -1;
	}
	*slot = message;
	return 0;
}

static int load_state(struct restore *r, const struct kind *kind, ProtobufCMessage *message,
		      struct error *err)
{
	uint32_t id = kind_message_id(message);
	struct restore_task *task = kind->scope == KIND_TASK ? find_task(r, id) : NULL;
	struct restore_thread *thread = kind->scope == KIND_THREAD ? find_thread(r, id) : NULL;

	if (task)
		return keep(&task->state[kind_index(kind)], kind, message, err);
	if (thread)
		return keep(&thread->state[kind_index(kind)], kind, message, err);
	protobuf_c_message_free_unpacked(message, NULL);
	return error_set(err, ERROR_IMAGE, 0, "%s of %u, which is not in the tree", kind->name, id);
}

static int load_kind(struct restore *r, const struct record *record, struct error *err)
{
	const struct kind *kind = kind_by_record(record->kind);
	ProtobufCMessage *message;

	if (!kind) {
		if (!(record->flags & RECORD_CRITICAL))
			return 0;
		error_set(err, ERROR_IMAGE, 0, "record kind %u is not known here", record->kind);
		return error_hint(err, "the image comes from a newer criu-lite");
	}
	if (stream_message(r->in, kind->message, &message, err))
		return -1;
	switch (kind->scope) {
	case KIND_OBJECT:
		return memory_load_object(r, kind, message, err);
	case KIND_FILE:
		if (r->in_rounds && !r->last_round) {
			protobuf_c_message_free_unpacked(message, NULL);
			return error_set(err, ERROR_IMAGE, 0, "%s: a description in a round that "
					 "is not the last one", kind->name);
		}
		return restore_files_add(r->files, kind, message, err);
	case KIND_CONTAINER:
		return keep(&r->container_state[kind_index(kind)], kind, message, err);
	case KIND_TASK:
	case KIND_THREAD:
		break;
	}
	return load_state(r, kind, message, err);
}

int load_header(struct restore *r, Image **ret, struct error *err)
{
	ProtobufCMessage *message;
	struct record record;
	int more = stream_next(r->in, &record, err);

	if (more < 0)
		return -1;
	if (!more || record.kind != RECORD_HEADER)
		return error_set(err, ERROR_IMAGE, 0, "the image has no header");
	if (stream_message(r->in, &image__descriptor, &message, err))
		return -1;
	*ret = (Image *)message;
	return 0;
}

/* What was loaded of a tree goes; none of it has been made. */
static void discard(struct restore *r, Tree **tree)
{
	struct restore_task **t;
	size_t i;

	array_for(t, &r->tasks)
		memory_free_task(*t);
	load_free_tree(r);
	if (*tree)
		tree__free_unpacked(*tree, NULL);
	*tree = NULL;
	for (i = 0; i < kinds_count(); i++) {
		if (r->container_state[i])
			protobuf_c_message_free_unpacked(r->container_state[i], NULL);
		r->container_state[i] = NULL;
	}
	restore_objects_free(r->objects);
	r->objects = NULL;
	memory_forget(r);
	restore_files_forget(r->files);
}

/* A round begins. If another one is being read, that was given up. */
static int load_round(struct restore *r, Tree **tree, struct error *err)
{
	ProtobufCMessage *message;

	if (*tree && !r->in_rounds)
		return error_set(err, ERROR_IMAGE, 0, "a round begins in an image without rounds");
	if (stream_message(r->in, &round__descriptor, &message, err))
		return -1;
	r->in_rounds = true;
	r->last_round = ((Round *)message)->last;
	protobuf_c_message_free_unpacked(message, NULL);
	if (r->kept)
		kept__free_unpacked(r->kept, NULL);
	r->kept = NULL;
	if (*tree)
		discard(r, tree);
	return 0;
}

static int load_kept(struct restore *r, struct error *err)
{
	ProtobufCMessage *message;

	if (!r->in_rounds || r->kept)
		return error_set(err, ERROR_IMAGE, 0, "what is kept is told out of turn");
	if (stream_message(r->in, &kept__descriptor, &message, err))
		return -1;
	r->kept = (Kept *)message;
	return 0;
}

int load_up_to_pages(struct restore *r, Tree **ret, struct error *err)
{
	struct record record;
	int more;

	if (!r->container_state)
		r->container_state = calloc(kinds_count(), sizeof(*r->container_state));
	if (!r->container_slots)
		r->container_slots = calloc(kinds_count(), sizeof(*r->container_slots));
	if (!r->container_state || !r->container_slots)
		return no_memory(err);
	while ((more = stream_next(r->in, &record, err)) > 0) {
		if (record.kind == RECORD_ROUND) {
			if (load_round(r, ret, err))
				return -1;
			continue;
		}
		if (record.kind == RECORD_TREE) {
			if (load_tree(r, ret, err))
				return -1;
			continue;
		}
		if (!*ret)
			return error_set(err, ERROR_IMAGE, 0, "the image does not begin with its tree");
		if (record.kind == RECORD_MEMORY)
			return memory_load(r, &record, err);
		if (record.kind == RECORD_KEPT) {
			if (load_kept(r, err))
				return -1;
			continue;
		}
		if (load_kind(r, &record, err))
			return -1;
	}
	return more < 0 ? -1 : error_set(err, ERROR_IMAGE, 0, "the image has no memory");
}

int load_up_to_task_pages(struct restore *r, struct error *err)
{
	struct record record;
	int more = stream_next(r->in, &record, err);

	if (more < 0)
		return -1;
	if (!more || record.kind != RECORD_MEMORY)
		return error_set(err, ERROR_IMAGE, 0, "the image has no pages of tasks");
	return memory_load(r, &record, err);
}

/* What gathered while the image was written stands behind the pages. */
static bool comes_late(const struct record *record)
{
	const struct kind *kind = kind_by_record(record->kind);

	return kind && kind->scope == KIND_CONTAINER && kind->container->dump_late;
}

int load_seal(struct restore *r, struct error *err)
{
	struct record record;
	int more;

	while ((more = stream_next(r->in, &record, err)) > 0) {
		if (comes_late(&record)) {
			if (load_kind(r, &record, err))
				return -1;
			continue;
		}
		if (record.flags & RECORD_CRITICAL)
			return error_set(err, ERROR_IMAGE, 0, "record %u"
					 " stands behind the page data", record.number);
	}
	return more;
}

void load_free_states(ProtobufCMessage **state)
{
	size_t i;

	for (i = 0; state && i < kinds_count(); i++)
		if (state[i])
			protobuf_c_message_free_unpacked(state[i], NULL);
	free(state);
}

void load_free_task(struct restore_task *t)
{
	struct restore_thread **thread;

	array_for(thread, &t->threads) {
		load_free_states((*thread)->state);
		tracee_release(&(*thread)->tracee);
		free(*thread);
	}
	array_release(&t->threads);
	load_free_states(t->state);
	fd_close(&t->pidfd);
	agent_release(&t->agent);
	free(t);
}

void load_free_tree(struct restore *r)
{
	struct restore_task **t;

	array_for(t, &r->tasks)
		load_free_task(*t);
	array_release(&r->tasks);
	array_release(&r->by_id);
}

void load_free_tasks(struct restore *r)
{
	ProtobufCMessage ***states;

	load_free_tree(r);
	array_for(states, &r->former_states)
		load_free_states(*states);
	array_release(&r->former_states);
	load_free_states(r->container_state);
	free(r->container_slots);
	if (r->kept)
		kept__free_unpacked(r->kept, NULL);
}

const ProtobufCMessage *restore_task_state(const struct restore_task *t, const struct kind *kind)
{
	return t->state[kind_index(kind)];
}

const ProtobufCMessage *restore_thread_state(const struct restore_thread *t,
					     const struct kind *kind)
{
	return t->state[kind_index(kind)];
}
