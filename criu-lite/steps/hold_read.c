/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc tells of a process that is held. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/task/interrupted.h"
#include "steps/hold.h"

static int read_thread(struct dump_thread *t, struct error *err)
{
	t->proc_fd = proc_open_thread(t->task->pid, t->tid);
	if (t->proc_fd < 0)
		return error_set(err, ERROR_TARGET, errno, "task %d", t->tid);
	interrupted_look(t);
	return proc_read_status(t->proc_fd, &t->status, err);
}

static int read_zombie(struct dump_task *task, struct error *err)
{
	_cleanup_proc_status_ struct proc_status status = { 0 };

	if (proc_read_status(task->proc_fd, &status, err))
		return -1;
	task->zombie_uid = status.uid[0];
	task->zombie_gid = status.gid[0];
	return 0;
}

/* A leader that has exited stays behind as a zombie thread, and its directory in /proc is empty;
 * but that of another thread's number shows the process as well. */
static int look_past_leader(struct dump_task *task, struct error *err)
{
	const struct proc_stat leader = task->stat;

	task->leader_gone = true;
	if (read_zombie(task, err))
		return -1;
	fd_close(&task->proc_fd);
	task->proc_fd = proc_open(task->threads.items[0].tid);
	if (task->proc_fd < 0)
		return error_set(err, ERROR_TARGET, errno, "process %d", task->pid);
	if (proc_read_stat(task->proc_fd, &task->stat, err))
		return -1;
	task->stat.pid = leader.pid;
	memcpy(task->stat.comm, leader.comm, sizeof(leader.comm));
	task->stat.start_time = leader.start_time;
	task->stat.exit_signal = leader.exit_signal;
	task->stat.exit_code = leader.exit_code;
	return 0;
}

/* The leader speaks for the process if it lives, else another thread. */
static int put_leader_first(struct dump_task *task, struct error *err)
{
	size_t i;

	for (i = 0; i < task->threads.count; i++) {
		if (task->threads.items[i].tid == task->pid) {
			struct dump_thread first = task->threads.items[0];

			task->threads.items[0] = task->threads.items[i];
			task->threads.items[i] = first;
			return 0;
		}
	}
	return look_past_leader(task, err);
}

static int read_maps(struct dump_task *task, const struct preflight *before, struct error *err)
{
	if (proc_read_maps(task->proc_fd, &task->maps, err))
		return -1;
	if (preflight_flags(before, task->pid, task->stat.start_time, &task->maps))
		return 0;
	vma_list_release(&task->maps);
	return proc_read_smaps(task->proc_fd, &task->maps, err);
}

int hold_read_task(struct dump_task *task, const struct preflight *before, struct error *err)
{
	struct dump_thread *t;

	if (proc_read_stat(task->proc_fd, &task->stat, err))
		return -1;
	if (task->note)
		task->note->start_time = task->stat.start_time;
	task->zombie = task->threads.count == 0;
	if (task->zombie && task->stat.state != 'Z')
		return error_set(err, ERROR_DIED, 0, "process %d ended while it was being stopped",
				 task->pid);
	if (task->zombie)
		return read_zombie(task, err);
	task->pidfd = sys_pidfd_open(task->pid, 0);
	if (task->pidfd < 0)
		return error_set(err, ERROR_TARGET, errno, "process %d: cannot open", task->pid);
	if (put_leader_first(task, err))
		return -1;
	array_for(t, &task->threads)
		if (read_thread(t, err))
			return -1;
	return read_maps(task, before, err);
}
