/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "proc/tasks.h"
#include "kinds/frozen.h"
#include "kinds/memory_rounds.h"
#include "steps/leftover.h"
#include "steps/options.h"
#include "steps/target.h"
#include "steps/vfork.h"

enum {
	STOP_TIMEOUT_MS = 5000,
	VFORK_TIMEOUT_MS = 2000,
	PATIENCE_MS = 2,	/* for one thread's stop, before we look what keeps it */
	RETRY_MS = 2000,
	RETRY_PAUSE_NS = 10 * 1000 * 1000,
};

static struct dump_task *find_task(const struct dump *d, pid_t pid)
{
	struct dump_task **task;

	array_for(task, &d->tasks)
		if ((*task)->pid == pid)
			return *task;
	return NULL;
}

static void task_free(struct dump_task *task)
{
	struct dump_thread *t;

	if (!task)
		return;
	array_for(t, &task->threads) {
		fd_close(&t->proc_fd);
		tracee_release(&t->tracee);
		proc_status_release(&t->status);
	}
	array_release(&task->threads);
	fd_close(&task->proc_fd);
	fd_close(&task->pidfd);
	vma_list_release(&task->maps);
	agent_release(&task->agent);
	/* That of a kept task is the rounds'. */
	if (!task->kept)
		round_task_free(task->round);
	free(task);
}

static struct dump_task *add_task(struct dump *d, pid_t pid, struct error *err)
{
	struct dump_task *task = calloc(1, sizeof(*task)), **slot;

	if (!task) {
		error_set(err, ERROR_FAILED, ENOMEM, "process %d", pid);
		return NULL;
	}
	*task = (struct dump_task){ .dump = d, .pid = pid, .pidfd = -1, .twin_proc_fd = -1 };
	task->proc_fd = proc_open(pid);
	if (task->proc_fd < 0) {
		error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno, "process %d",
			  pid);
		task_free(task);
		return NULL;
	}
	if (guard_watch(d->guard, pid, &task->note, err)) {
		task_free(task);
		return NULL;
	}
	slot = array_add(&d->tasks);
	if (!slot) {
		error_set(err, ERROR_FAILED, ENOMEM, "process %d", pid);
		task_free(task);
		return NULL;
	}
	return *slot = task;
}

static bool has_thread(const struct dump_task *task, pid_t tid)
{
	const struct dump_thread *t;

	array_for(t, &task->threads)
		if (t->tid == tid)
			return true;
	return false;
}

/* Seizes a thread and asks it to stop; one that has gone meanwhile is not there. */
static int seize_thread(struct dump_task *task, pid_t tid, struct error *err)
{
	struct error gone = ERROR_INIT;
	struct dump_thread *t = array_add(&task->threads);

	if (!t)
		return error_set(err, ERROR_FAILED, ENOMEM, "task %d", tid);
	*t = (struct dump_thread){ .task = task, .tid = tid, .proc_fd = -1 };
	if (tracee_seize(&t->tracee, tid, task->pid, TRACEE_SECCOMP_OFF, &gone) ||
	    tracee_interrupt(&t->tracee, &gone)) {
		task->threads.count--;
		if (gone.kind != ERROR_DIED) {
			*err = gone;
			return -1;
		}
		error_clear(&gone);
	}
	return 0;
}

/* Seizes threads that are not held yet; *progress tells whether there were any. */
static int seize_new_threads(struct dump_task *task, const struct pid_list *tids, bool *progress,
			     struct error *err)
{
	const pid_t *tid;

	array_for(tid, &tids->pids) {
		size_t before = task->threads.count;

		if (has_thread(task, *tid))
			continue;
		if (seize_thread(task, *tid, err))
			return -1;
		if (task->threads.count > before)
			*progress = true;
	}
	return 0;
}

/* Children that are not known yet become tasks of ours. */
static int add_children(struct dump *d, const struct pid_list *children, bool *progress,
			struct error *err)
{
	const pid_t *pid;

	array_for(pid, &children->pids) {
		if (find_task(d, *pid))
			continue;
		if (!add_task(d, *pid, err)) {
			if (err->kind != ERROR_DIED)
				return -1;
			error_clear(err);
			continue;
		}
		*progress = true;
	}
	return 0;
}

/* Seizes before it looks for children: who is held bears no more. */
static int extend_task(struct dump_task *task, struct pid_list *children, bool *progress,
		       struct error *err)
{
	_cleanup_pid_list_ struct pid_list tids = { 0 };

	return proc_list_tasks(task->proc_fd, &tids, err) ||
			       seize_new_threads(task, &tids, progress, err) ||
			       proc_children_of(task->proc_fd, &tids, children, err) ?
		       -1 :
		       0;
}

/* One pass over the known processes: new threads are seized, new children listed. */
static int extend(struct dump *d, bool *progress, struct error *err)
{
	size_t i;

	for (i = 0; i < d->tasks.count; i++) {
		_cleanup_pid_list_ struct pid_list children = { 0 };
		struct error gone = ERROR_INIT;

		if (extend_task(d->tasks.items[i], &children, progress, &gone)) {
			if (gone.kind != ERROR_DIED) {
				*err = gone;
				return -1;
			}
			error_clear(&gone);
		}
		if (add_children(d, &children, progress, err))
			return -1;
	}
	return 0;
}

/* Waits for a thread's stop and saves its state at once: a call that was cut short is made good, so
 * that the program does not learn of it, whatever happens to us. A thread that ends instead is
 * dropped; *patience_ms: it takes long, how long it may. */
static int wait_stop(struct dump_task *task, size_t index, int *patience_ms, struct error *err)
{
	struct dump_thread *t = &task->threads.items[index];
	struct error trouble = ERROR_INIT;

	if (!tracee_wait_stopped(&t->tracee, PATIENCE_MS, &trouble) &&
	    !tracee_save(&t->tracee, &trouble))
		return 0;
	if (trouble.os_error == ETIMEDOUT) {
		*patience_ms = STOP_TIMEOUT_MS;
		if (vfork_waits(t)) {
			/* A child in a frozen cgroup could not go on either. */
			if (frozen_let_work(task->dump, err))
				return -1;
			vfork_let_children_go(task);
			*patience_ms = VFORK_TIMEOUT_MS;
		}
	}
	if (trouble.kind != ERROR_DIED) {
		*err = trouble;
		return -1;
	}
	error_clear(&trouble);
	tracee_release(&t->tracee);
	*t = task->threads.items[--task->threads.count];
	return 0;
}

/* Collects the stops that were asked for. */
static int wait_stops(struct dump *d, struct error *err)
{
	uint64_t begin = now_ns();
	struct dump_task **task;
	bool waiting = true;
	size_t i;

	while (waiting) {
		waiting = false;
		array_for(task, &d->tasks) {
			for (i = (*task)->threads.count; i-- > 0;) {
				int patience_ms = 0;

				if ((*task)->threads.items[i].tracee.held ||
				    !wait_stop(*task, i, &patience_ms, err))
					continue;
				if (now_ns() > begin + patience_ms * 1000000ull)
					return -1;
				error_clear(err);
				waiting = true;
			}
		}
	}
	return 0;
}

/* Whether it has left the tree: it was reaped, or its parent ended before we could stop it, and
 * whoever adopted it is not ours. */
static int has_left(struct dump *d, const struct dump_task *task, bool *ret, struct error *err)
{
	struct error gone = ERROR_INIT;
	struct proc_stat stat;

	*ret = true;
	if (!proc_read_stat(task->proc_fd, &stat, &gone)) {
		*ret = task != d->tasks.items[0] && !find_task(d, stat.ppid);
		return 0;
	}
	if (gone.kind != ERROR_DIED || task == d->tasks.items[0]) {
		*err = gone;
		return -1;
	}
	error_clear(&gone);
	return 0;
}

/* Parents come before their children, so one pass finds also the children of those who left. */
static int drop_those_who_left(struct dump *d, struct error *err)
{
	size_t i = 0;
	bool left;

	while (i < d->tasks.count) {
		struct dump_task *task = d->tasks.items[i];

		if (has_left(d, task, &left, err))
			return -1;
		if (!left) {
			i++;
			continue;
		}
		hold_let_go(task);
		task_free(task);
		d->tasks.count--;
		memmove(d->tasks.items + i, d->tasks.items + i + 1,
			(d->tasks.count - i) * sizeof(*d->tasks.items));
	}
	return 0;
}

static bool frozen(const struct dump *d)
{
	size_t i;

	for (i = 0; i < d->freezers.count; i++)
		if (d->freezers.items[i].frozen)
			return true;
	return false;
}

/* Until nothing new shows up. While the tree is frozen it can only be that it was not looked at. */
static int seize_all(struct dump *d, struct error *err)
{
	bool progress = true;

	while (progress) {
		progress = false;
		if (extend(d, &progress, err))
			return -1;
		if (frozen(d)) {
			if (progress)
				continue;
			/* Children of vfork(2) may be let go again. */
			progress = true;
		}
		if (frozen_let_stop(d, err) || wait_stops(d, err) || frozen_let_work(d, err))
			return -1;
	}
	return 0;
}

static int try_to_hold(struct dump *d, pid_t root, const struct preflight *before, bool last,
		       struct error *err)
{
	struct dump_task **task;

	if (!add_task(d, root, err) || seize_all(d, err) || drop_those_who_left(d, err))
		return -1;
	array_for(task, &d->tasks)
		if (hold_read_task(*task, before, err) ||
		    (!(*task)->zombie && leftover_check(*task, last, err)))
			return -1;
	return 0;
}

int hold_find_freezers(struct dump *d, const struct pid_list *tree, struct error *err)
{
	const struct target *target = d->options->target;

	if (d->container.freezers)
		return freezers_copy(&d->freezers, d->container.freezers, err);
	return freezers_find(&d->freezers, tree, target ? target->cgroup : NULL, err);
}

int hold_tree(struct dump *d, pid_t root, const struct preflight *before, struct error *err)
{
	uint64_t deadline = now_ns() + RETRY_MS * 1000000ull;

	bool last = false;

	while (try_to_hold(d, root, before, last, err)) {
		hold_release(d);
		if (err->os_error != EBUSY || last)
			return -1;
		last = now_ns() > deadline;
		log_info("once more: %s", err->message);
		error_clear(err);
		hold_free(d);
		guard_forget(d->guard);
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_PAUSE_NS }, NULL);
		if (frozen_begin(d, err))
			return -1;
	}
	return 0;
}

void hold_free(struct dump *d)
{
	struct dump_task **task;

	array_for(task, &d->tasks)
		task_free(*task);
	array_release(&d->tasks);
}
