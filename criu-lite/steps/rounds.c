/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/rounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/round.pb-c.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/ns/namespaces.h"
#include "kinds/objects.h"
#include "steps/load.h"
#include "steps/puppets.h"
#include "steps/tree_restore.h"
#include "tracee/wait.h"

/* What there is of the round before. */
struct former {
	ARRAY_OF(struct restore_task *) tasks;
	struct restore_objects *objects;
	ProtobufCMessage **container_state;
};

/* Takes the round's things out of *r, which is ready for those of the next one. */
static int put_aside(struct restore *r, Tree **tree, struct former *f, struct error *err)
{
	ProtobufCMessage ***states = array_add(&r->former_states);

	if (!states)
		return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
	*states = f->container_state = steal_ptr(r->container_state);
	f->tasks.items = r->tasks.items;
	f->tasks.count = r->tasks.count;
	f->tasks.capacity = r->tasks.capacity;
	r->tasks.items = NULL;
	r->tasks.count = r->tasks.capacity = 0;
	array_release(&r->by_id);
	f->objects = steal_ptr(r->objects);
	if (*tree)
		tree__free_unpacked(*tree, NULL);
	*tree = NULL;
	memory_forget(r);
	return 0;
}

/* Whoever takes back what was built finds a message for it. */
static void restore_states(struct restore *r, struct former *f)
{
	size_t i;

	if (!r->container_state) {
		r->container_state = f->container_state;
		r->former_states.count--;
		return;
	}
	for (i = 0; f->container_state && i < kinds_count(); i++)
		if (!r->container_state[i])
			r->container_state[i] = steal_ptr(f->container_state[i]);
}

/* After a failure: whoever ends the puppets of *r ends the others, too. */
static void put_back(struct restore *r, struct former *f)
{
	struct restore_task **t, **slot;

	array_for(t, &f->tasks) {
		slot = array_add(&r->tasks);
		if (slot)
			*slot = *t;
	}
	array_release(&f->tasks);
	if (f->objects) {
		restore_objects_undo(f->objects);
		restore_objects_free(f->objects);
	}
	restore_states(r, f);
}

/* ---- who goes on ---- */

static struct restore_task *find(struct restore_task *const *tasks, size_t count, pid_t pid)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (tasks[i]->pid == pid)
			return tasks[i];
	return NULL;
}

static int keep_tasks(struct restore *r, struct former *f, struct error *err)
{
	size_t i;

	for (i = 0; r->kept && i < r->kept->n_pids; i++) {
		pid_t pid = r->kept->pids[i];
		struct restore_task *t = find(r->tasks.items, r->tasks.count, pid);
		struct restore_task *former = find(f->tasks.items, f->tasks.count, pid);

		if (!t || !former || t->kept || !former->threads.items[0]->tracee.tid ||
		    (former->zombie && !t->zombie) || (t->parent && !t->parent->kept))
			return error_set(err, ERROR_IMAGE, 0, "process %d cannot go on from the "
					 "round before", pid);
		puppet_keep(t, former);
		memory_keep(t, former);
	}
	return 0;
}

/* ---- who has ended ---- */

/* The task that has the puppet now. */
static struct restore_task *living(struct restore *r, struct restore_task *former)
{
	if (former->threads.items[0]->tracee.tid)
		return former;
	return find(r->tasks.items, r->tasks.count, former->pid);
}

/* Who inherits the children that outlive it; NULL: there are none. */
static struct restore_task *heir_of(struct restore *r, const struct former *f,
				    const struct restore_task *dead)
{
	struct restore_task *const *t;

	array_for(t, &f->tasks) {
		struct restore_task *child = (*t)->parent == dead ? living(r, *t) : NULL;

		if (child && child->kept)
			return child->parent;
	}
	return NULL;
}

static int call(struct restore_task *t, struct error *err, long number, uint64_t a0, uint64_t a1,
		uint64_t a2)
{
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	batch_must(&b, number, a0, a1, a2, 0);
	return restore_run(t, &b, err);
}

/* A puppet ends, is reaped by its parent, and its children go where they have gone. */
static int end_task(struct restore *r, const struct former *f, struct restore_task *dead,
		    struct error *err)
{
	struct restore_task *heir = heir_of(r, f, dead), *parent = living(r, dead->parent);

	if (!parent)
		return error_set(err, ERROR_IMAGE, 0, "process %d has no parent", dead->pid);
	if ((heir && call(heir, err, SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0)) ||
	    puppet_exit(dead, 0, err) ||
	    (heir && call(heir, err, SYS_prctl, PR_SET_CHILD_SUBREAPER, 0, 0)))
		return -1;
	return call(parent, err, SYS_wait4, dead->pid, 0, WAIT_FOR_END);
}

static int end_others(struct restore *r, struct former *f, struct error *err)
{
	size_t i;

	if (!r->kept || !r->kept->n_pids) {
		puppets_kill_tasks(f->tasks.items, f->tasks.count);
		return 0;
	}
	if (!f->tasks.count || f->tasks.items[0]->threads.items[0]->tracee.tid)
		return error_set(err, ERROR_IMAGE, 0, "a round without the root of the one before");
	for (i = f->tasks.count; i-- > 1;) {
		struct restore_task *t = f->tasks.items[i];

		if (t->threads.items[0]->tracee.tid && end_task(r, f, t, err))
			return error_wrap(err, "process %d", t->pid);
	}
	return 0;
}

static void free_tasks(struct former *f)
{
	struct restore_task **t;

	array_for(t, &f->tasks) {
		memory_free_task(*t);
		load_free_task(*t);
	}
	array_release(&f->tasks);
}

/* ---- what the tree has as a whole ---- */

static int container_row_again(struct restore *r, struct former *f, size_t i, struct error *err)
{
	const struct container_ops *ops = kinds_table[i]->container;
	ProtobufCMessage **was = &f->container_state[i], **is = &r->container_state[i], *swapped;

	if ((!ops->build && !ops->prepare) || (!*was && !*is))
		return 0;
	if (*was && *is && ops->again)
		return ops->again(r, *was, *is, err);
	if (*was && *is && !ops->build)
		return ops->prepare(r, *is, err);
	if (!*was || !*is || !kind_messages_equal(*was, *is))
		return error_set(err, ERROR_FAILED, 0, "it has changed");
	/* What was built may refer to the former one. */
	swapped = *was;
	*was = *is;
	*is = swapped;
	return 0;
}

static int container_again(struct restore *r, struct former *f, struct error *err)
{
	size_t i;

	for (i = 0; i < kinds_count(); i++) {
		if (!kinds_table[i]->container || !container_row_again(r, f, i, err))
			continue;
		error_wrap(err, "%s, since memory was first copied", kinds_table[i]->name);
		return error_hint(err, "try again, or without --pre-copy");
	}
	return 0;
}

/* ---- a round ---- */

/* The process that holds the namespaces is there, under its id. */
static int check_root(const struct restore *r, const struct former *f, struct error *err)
{
	pid_t pid = r->tasks.items[0]->pid;

	if (pid == f->tasks.items[0]->pid)
		return 0;
	return error_set(err, ERROR_IMAGE, 0, "process %d is the root of a round, but not of the "
			 "one before", pid);
}

static int build(struct restore *r, const Tree *tree, struct former *f, struct error *err)
{
	if (check_root(r, f, err) || namespaces_check(r, err) || container_again(r, f, err) ||
	    keep_tasks(r, f, err) ||
	    memory_keep_objects(r, steal_ptr(f->objects), err) || end_others(r, f, err))
		return -1;
	free_tasks(f);
	f->container_state = NULL;
	if (r->last_round && restore_files_check(r->files, err))
		return -1;
	if (tree_restore(r, tree, err) || memory_restore_pages(r, err))
		return -1;
	if (!r->last_round)
		return 0;
	return memory_check_files(r, err) || clocks_again(r, err) ? -1 : 0;
}

static int next_round(struct restore *r, Tree **tree, struct error *err)
{
	struct former f = { 0 };

	if (put_aside(r, tree, &f, err))
		return -1;
	if (!load_up_to_pages(r, tree, err) && !build(r, *tree, &f, err))
		return 0;
	put_back(r, &f);
	return -1;
}

int rounds_restore(struct restore *r, Tree **tree, struct error *err)
{
	while (r->in_rounds && !r->last_round)
		if (next_round(r, tree, err))
			return -1;
	return 0;
}

int rounds_look(struct restore *r, Tree **tree, struct error *err)
{
	struct former f = { 0 };
	int result;

	if (!r->in_rounds || r->last_round)
		return 0;
	if (memory_verify(r, err) || load_up_to_task_pages(r, err) || memory_verify(r, err))
		return -1;
	if (put_aside(r, tree, &f, err))
		return -1;
	restore_objects_free(f.objects);
	free_tasks(&f);
	result = load_up_to_pages(r, tree, err);
	return result ? -1 : 1;
}
