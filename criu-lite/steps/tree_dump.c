/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/tree_dump.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/image.pb-c.h"
#include "images/tree.pb-c.h"
#include "kernel-compat/calls.h"
#include "steps/cpu.h"
#include "steps/options.h"
#include "steps/records.h"
#include "steps/tree_plan.h"

int tree_dump_plan(const struct dump *d, struct tree_plan *plan, struct error *err)
{
	struct plan_task *tasks = calloc(d->tasks.count, sizeof(*tasks));
	size_t i;
	int r;

	if (!tasks)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	for (i = 0; i < d->tasks.count; i++) {
		const struct dump_task *task = d->tasks.items[i];

		tasks[i] = (struct plan_task){
			.pid = task->pid,
			.ppid = i ? task->stat.ppid : 0,
			.sid = task->stat.session,
			.pgid = task->stat.pgrp,
			.zombie = task->zombie,
		};
	}
	r = tree_plan(tasks, d->tasks.count, plan, err);
	free(tasks);
	return r;
}

/* Tasks in the order of their births, so that the image can be restored front to back. */
static int reorder(struct dump *d, const struct tree_plan *plan, struct error *err)
{
	struct dump_task **ordered = calloc(d->tasks.count, sizeof(*ordered));
	const struct plan_op *op;
	size_t made = 0, i;

	if (!ordered)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	for (i = 1; i < d->tasks.count; i++)
		d->tasks.items[i]->birth = d->tasks.items[plan->birth[i]];
	array_for(op, &plan->ops)
		if (op->kind == PLAN_CLONE && op->who < plan->task_count)
			ordered[made++] = d->tasks.items[op->who];
	free(d->tasks.items);
	d->tasks.items = ordered;
	d->tasks.capacity = d->tasks.count;
	return 0;
}

static void find_shared_fs(struct dump_task *task)
{
	task->shares_fs = task->birth && !task->zombie && !task->birth->zombie &&
			  !sys_kcmp(task->threads.items[0].tid, task->birth->threads.items[0].tid,
				    KCMP_FS, 0, 0);
}

static void fill_task(TreeTask *m, const struct dump_task *task, bool root, uint32_t *tids)
{
	const struct dump_thread *t;

	tree_task__init(m);
	m->pid = task->pid;
	m->ppid = root ? 0 : task->stat.ppid;
	m->pgid = task->stat.pgrp;
	m->sid = task->stat.session;
	m->exit_signal = task->stat.exit_signal;
	m->name = (char *)task->stat.comm;
	m->has_shares_fs = task->birth && !task->zombie && !task->birth->zombie;
	m->shares_fs = task->shares_fs;
	m->has_zombie = m->zombie = task->zombie;
	m->has_leader_gone = m->leader_gone = task->leader_gone;
	m->has_uid = m->has_gid = task->zombie || task->leader_gone;
	m->uid = task->zombie_uid;
	m->gid = task->zombie_gid;
	m->has_exit_code = task->zombie || task->leader_gone;
	m->exit_code = task->stat.exit_code;
	if (!task->zombie && task->threads.items[0].tracee.group_stopped) {
		m->has_stopped = m->stopped = true;
		m->has_stop_signal = true;
		m->stop_signal = task->threads.items[0].tracee.group_signal;
		/* The kernel keeps the status of a stop until the parent has taken it. */
		m->has_stop_reported = true;
		m->stop_reported = task->stat.exit_code == 0;
		/* It hides how the first thread has ended. */
		m->exit_code = 0;
	}
	m->tids = tids;
	array_for(t, &task->threads)
		m->tids[m->n_tids++] = t->tid;
}

static int write_tree(struct dump *d, struct error *err)
{
	size_t threads = 0, i;
	_cleanup_free_ TreeTask *tasks = calloc(d->tasks.count, sizeof(*tasks));
	_cleanup_free_ TreeTask **list = calloc(d->tasks.count, sizeof(*list));
	_cleanup_free_ uint32_t *tids = NULL;
	Tree tree = TREE__INIT;

	for (i = 0; i < d->tasks.count; i++)
		threads += d->tasks.items[i]->threads.count;
	tids = calloc(threads + 1, sizeof(*tids));
	if (!tasks || !list || !tids)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	for (threads = 0, i = 0; i < d->tasks.count; i++) {
		find_shared_fs(d->tasks.items[i]);
		fill_task(&tasks[i], d->tasks.items[i], i == 0, tids + threads);
		threads += tasks[i].n_tids;
		list[i] = &tasks[i];
	}
	tree.n_tasks = d->tasks.count;
	tree.tasks = list;
	return stream_write(d->out, RECORD_TREE, RECORD_CRITICAL, &tree.base, err);
}

int tree_dump(struct dump *d, struct error *err)
{
	_cleanup_plan_ struct tree_plan plan = { 0 };

	if (tree_dump_plan(d, &plan, err) || reorder(d, &plan, err))
		return -1;
	return write_tree(d, err);
}

int header_dump(struct dump *d, struct error *err)
{
	static const Image__TargetState target_states[] = {
		[AFTERWARDS_KILL] = IMAGE__TARGET_STATE__KILLED,
		[AFTERWARDS_RUN] = IMAGE__TARGET_STATE__RUNNING,
		[AFTERWARDS_STOP] = IMAGE__TARGET_STATE__STOPPED,
	};
	Image m = IMAGE__INIT;
	struct timespec now;
	struct utsname host;
	uint8_t *id = d->image_id;
	int r;

	if (getrandom(id, sizeof(d->image_id), 0) != sizeof(d->image_id) || uname(&host))
		return error_set(err, ERROR_FAILED, errno, "cannot name the image");
	clock_gettime(CLOCK_REALTIME, &now);
	m.creator = "criu-lite";
	m.id = (ProtobufCBinaryData){ sizeof(d->image_id), id };
	m.created_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
	m.root_pid = d->options->pid;
	m.page_size = sysconf(_SC_PAGESIZE);
	m.machine = host.machine;
	m.kernel_release = host.release;
	m.hostname = host.nodename;
	m.has_target_state = true;
	m.target_state = target_states[d->options->afterwards];
	m.cpu = cpu_describe();
	if (!m.cpu)
		return error_set(err, ERROR_FAILED, ENOMEM, "processor");
	r = stream_write(d->out, RECORD_HEADER, RECORD_CRITICAL, &m.base, err);
	cpu__free_unpacked(m.cpu, NULL);
	return r;
}
