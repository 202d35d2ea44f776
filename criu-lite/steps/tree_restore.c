/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/tree_restore.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/memory.h"
#include "kinds/ns/user_namespace.h"
#include "kinds/task/controlling_terminal.h"
#include "steps/load.h"
#include "steps/puppets.h"
#include "steps/tree_plan.h"
#include "tracee/wait.h"

/* A process that is borne only to bear others or to lead a group for a moment. */
struct helper {
	struct restore_task task;
	struct restore_thread leader;
	struct restore_thread *threads[1];
};

struct maker {
	struct restore *r;
	const Tree *tree;
	const struct tree_plan *plan;
	struct helper *helpers;
	bool again;	/* some are there already, not the root alone, with what helpers were for */
};

static struct restore_task *actor(struct maker *m, size_t index)
{
	if (index == PLAN_NOBODY)
		return NULL;
	if (index < m->plan->task_count)
		return m->r->tasks.items[index];
	return &m->helpers[index - m->plan->task_count].task;
}

static int call(struct restore_task *t, struct error *err, long number, uint64_t a0, uint64_t a1,
		uint64_t a2, uint64_t a3)
{
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	batch_must(&b, number, a0, a1, a2, a3);
	return restore_run(t, &b, err);
}

static int clone_actor(struct maker *m, const struct plan_op *op, struct error *err)
{
	struct restore_task *t = actor(m, op->who);
	const TreeTask *saved = op->who < m->plan->task_count ? m->tree->tasks[op->who] : NULL;
	struct restore_task *from = actor(m, op->from);

	if (!from) {
		if ((!t->kept &&
		     (puppet_make_root(m->r, t, err) || cgroups_place_task(m->r, t->pid, err))) ||
		    memory_restore_objects(m->r, err) || load_up_to_task_pages(m->r, err))
			return -1;
	} else if (!t->kept &&
		   (puppet_make_child(from, t, saved ? saved->exit_signal : 0, err) ||
		    cgroups_place_task(m->r, t->pid, err))) {
		return -1;
	}
	if (!saved || t->zombie)
		return 0;
	return memory_restore_maps(t, err) || memory_restore_shared_pages(t, err) ? -1 : 0;
}

/* The helper's children become the heir's: it is the nearest subreaper for that moment. The saved
 * setting comes later, with the row "child-subreaper". */
static int exit_actor(struct maker *m, const struct plan_op *op, struct error *err)
{
	struct restore_task *helper = actor(m, op->who), *heir = actor(m, op->from);
	struct restore_task *parent = actor(m, op->parent);

	if (call(heir, err, SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0) ||
	    puppet_exit(helper, 0, err) ||
	    call(heir, err, SYS_prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0))
		return -1;
	return call(parent, err, SYS_wait4, helper->pid, 0, WAIT_FOR_END, 0);
}

static int set_group(struct maker *m, const struct plan_op *op, struct error *err)
{
	pid_t group = op->pgid ? op->pgid : getpgrp();

	return call(actor(m, op->who), err, SYS_setpgid, 0, group, 0, 0);
}

/* Children inherit the terminal of the session, so it comes at once. */
static int begin_session(struct maker *m, const struct plan_op *op, struct error *err)
{
	struct restore_task *leader = actor(m, op->who);

	if (call(leader, err, SYS_setsid, 0, 0, 0, 0))
		return -1;
	return op->who < m->plan->task_count ? controlling_terminal_begin(leader, err) : 0;
}

static bool is_helper(const struct maker *m, size_t index)
{
	return index != PLAN_NOBODY && index >= m->plan->task_count;
}

/* In a further round: what is done already for who was kept is not done again. */
static int perform_again(struct maker *m, const struct plan_op *op, bool *ret_done,
			 struct error *err)
{
	const struct restore_task *t = is_helper(m, op->who) ? NULL : actor(m, op->who);

	*ret_done = (!t && m->again) || (t && t->kept && op->kind == PLAN_SETSID) ||
		    (t && t->kept && op->kind == PLAN_SETPGID && t->former_pgid == t->pgid);
	if (m->again && t && !t->kept && op->kind == PLAN_CLONE && is_helper(m, op->from))
		return error_set(err, ERROR_IMAGE, 0, "process %d cannot be born in a further "
				 "round", t->pid);
	return 0;
}

static int perform(struct maker *m, const struct plan_op *op, struct error *err)
{
	bool done = false;

	if (perform_again(m, op, &done, err))
		return -1;
	if (done)
		return 0;
	switch (op->kind) {
	case PLAN_CLONE:
		return clone_actor(m, op, err);
	case PLAN_SETSID:
		return begin_session(m, op, err);
	case PLAN_SETPGID:
		return set_group(m, op, err);
	case PLAN_EXIT:
		return exit_actor(m, op, err);
	}
	return 0;
}

static int make_helpers(struct maker *m, struct error *err)
{
	size_t i;

	m->helpers = calloc(m->plan->helpers.count + 1, sizeof(*m->helpers));
	if (!m->helpers)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	for (i = 0; i < m->plan->helpers.count; i++) {
		struct helper *h = &m->helpers[i];

		h->threads[0] = &h->leader;
		h->leader.task = &h->task;
		h->task.restore = m->r;
		h->task.pid = m->plan->helpers.items[i];
		h->task.pidfd = -1;
		h->task.threads.items = h->threads;
		h->task.threads.count = h->task.threads.capacity = 1;
	}
	return 0;
}

static void free_helpers(struct maker *m)
{
	size_t i;

	for (i = 0; m->helpers && i < m->plan->helpers.count; i++) {
		tracee_kill(&m->helpers[i].leader.tracee);
		tracee_release(&m->helpers[i].leader.tracee);
		fd_close(&m->helpers[i].task.pidfd);
	}
	free(m->helpers);
}

static int make_plan(const struct restore *r, struct tree_plan *plan, struct error *err)
{
	_cleanup_free_ struct plan_task *tasks = calloc(r->tasks.count, sizeof(*tasks));
	size_t i;

	if (!tasks)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	for (i = 0; i < r->tasks.count; i++) {
		const struct restore_task *t = r->tasks.items[i];

		tasks[i] = (struct plan_task){
			.pid = t->pid,
			.ppid = t->parent ? t->parent->pid : 0,
			.sid = t->sid,
			.pgid = t->pgid,
			.zombie = t->zombie,
		};
	}
	return tree_plan(tasks, r->tasks.count, plan, err);
}

int tree_verify(const struct restore *r, struct error *err)
{
	_cleanup_plan_ struct tree_plan plan = { 0 };

	return make_plan(r, &plan, err);
}

int tree_restore(struct restore *r, const Tree *tree, struct error *err)
{
	_cleanup_plan_ struct tree_plan plan = { 0 };
	struct maker m = { .r = r, .tree = tree, .plan = &plan };
	const struct plan_op *op;
	size_t i;
	int result = 0;

	if (make_plan(r, &plan, err) || make_helpers(&m, err))
		return -1;
	for (i = 1; i < r->tasks.count; i++)
		m.again |= r->tasks.items[i]->kept;
	for (i = 1; i < r->tasks.count; i++)
		r->tasks.items[i]->birth = r->tasks.items[plan.birth[i]];
	array_for(op, &plan.ops) {
		result = perform(&m, op, err);
		if (result)
			break;
	}
	free_helpers(&m);
	return result;
}

static int make_threads(struct restore_task *t, struct error *err)
{
	struct restore_thread **thread;

	if (puppet_make_threads(t, err))
		return -1;
	if (t->threads.count > 1)
		array_for(thread, &t->threads)
			if (cgroups_place_thread(t->restore, (*thread)->tid, err))
				return -1;
	return 0;
}

int tree_restore_threads(struct restore *r, struct error *err)
{
	struct restore_task **t;

	array_for(t, &r->tasks)
		if (!(*t)->zombie && make_threads(*t, err))
			return error_wrap(err, "process %d", (*t)->pid);
	return 0;
}

/* What people see of a zombie, also of a leader that has left its threads: name and owner. */
static int name_zombie(struct restore_task *t, const TreeTask *saved, struct error *err)
{
	uint32_t uid = user_inside(t->restore, saved->uid);
	uint32_t gid = group_inside(t->restore, saved->gid);
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	if (saved->name)
		batch_must(&b, SYS_prctl, PR_SET_NAME, batch_string(&b, saved->name));
	if (saved->has_gid)
		batch_must(&b, SYS_setresgid, gid, gid, gid);
	if (saved->has_uid)
		batch_must(&b, SYS_setresuid, uid, uid, uid);
	return restore_run(t, &b, err);
}

/* Only SIGSTOP stops a member of an orphaned process group. */
static int stopping_signal(const struct restore_task *t, const TreeTask *saved)
{
	bool watched = t->parent && t->parent->pgid != t->pgid && t->parent->sid == t->sid;

	switch (saved->stop_signal) {
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return watched ? saved->stop_signal : SIGSTOP;
	}
	return SIGSTOP;
}

/* The stop's status is the parent's to wait for; if it has done so, it does again. */
static int stop_task(struct restore_task *t, const TreeTask *saved, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	if (puppet_stop(t, stopping_signal(t, saved), err))
		return -1;
	if (!saved->stop_reported || !t->parent)
		return 0;
	batch_start(&b, &t->parent->agent);
	batch_must(&b, SYS_wait4, t->pid, 0, WAIT_IF_STOPPED, 0);
	return restore_run(t->parent, &b, err);
}

int tree_restore_exits(struct restore *r, const Tree *tree, struct error *err)
{
	size_t i;

	for (i = 0; i < r->tasks.count; i++) {
		struct restore_task *t = r->tasks.items[i];

		const TreeTask *saved = tree->tasks[i];

		if ((t->zombie || saved->leader_gone) && name_zombie(t, saved, err))
			return error_wrap(err, "process %d", t->pid);
		if (t->zombie ? puppet_exit(t, saved->exit_code, err) :
				(saved->leader_gone &&
				 puppet_exit_leader(t, saved->exit_code, err)) ||
					(saved->stopped && stop_task(t, saved, err)))
			return error_wrap(err, "process %d", t->pid);
	}
	return 0;
}

/* A thread has a /proc entry too, though it is not listed. */
static int check_id(pid_t id, struct error *err)
{
	_cleanup_buffer_ struct buffer comm = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", id);
	if (read_file_at(-1, path, &comm))
		return 0;
	error_set(err, ERROR_BLOCKED, 0, "pid %d is taken by \"%.*s\"", id,
		  (int)(comm.size ? comm.size - 1 : 0), comm.data);
	return error_hint(err, "end that process, or restore where its pid is free");
}

int tree_check_ids(const struct restore *r, struct error *err)
{
	struct restore_task **t;
	size_t i;

	array_for(t, &r->tasks)
		for (i = 0; i < (*t)->threads.count; i++)
			if (check_id((*t)->threads.items[i]->tid, err))
				return -1;
	return 0;
}
