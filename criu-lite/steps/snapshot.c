/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/snapshot.h"

#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/enter.h"
#include "kinds/task/interrupted.h"
#include "tracee/wait.h"

enum { STOP_TIMEOUT_MS = 2000 };

/* After unshare(CLONE_NEWPID) a child would become the init of that namespace. */
static bool children_elsewhere(const struct dump_task *task)
{
	struct stat own, children;

	return fstatat(task->proc_fd, "ns/pid", &own, 0) ||
	       fstatat(task->proc_fd, "ns/pid_for_children", &children, 0) ||
	       own.st_ino != children.st_ino;
}

/* Private areas that fork(2) leaves out or empties would be missing. */
static bool has_uncopied_area(const struct dump_task *task)
{
	const struct vma *v;

	array_for(v, &task->maps.vmas)
		if (!v->shared && v->flags & (VMA_DC | VMA_WF))
			return true;
	return false;
}

bool snapshot_possible(const struct dump *d, const char **why)
{
	struct dump_task **task;
	size_t i;

	for (i = 0; i < d->freezers.count; i++) {
		if (!d->freezers.items[i].was_frozen)
			continue;
		*why = "it is frozen anyway";
		return false;
	}
	array_for(task, &d->tasks) {
		if ((*task)->zombie)
			continue;
		if (children_elsewhere(*task))
			*why = "its children are born in another pid namespace";
		else if (has_uncopied_area(*task))
			*why = "it has memory that a fork does not copy";
		else
			continue;
		return false;
	}
	return true;
}

static int copy_task(struct dump_task *task, struct error *err)
{
	struct tracee *speaker = &task->threads.items[0].tracee;

	if (dump_enter(task, err))
		return -1;
	if (agent_fork_twin(&task->agent, speaker, &task->twin, err) ||
	    tracee_restore(speaker, err))
		return -1;
	task->twin_proc_fd = proc_open(task->twin.tid);
	if (task->twin_proc_fd < 0)
		return error_set(err, ERROR_TARGET, 0, "process %d: its copy was lost", task->pid);
	return agent_remove(&task->agent, speaker, err);
}

int snapshot_take(struct dump *d, bool *made, struct error *err)
{
	struct error failed = ERROR_INIT;
	struct dump_task **task;

	*made = true;
	array_for(task, &d->tasks) {
		if ((*task)->zombie || !copy_task(*task, &failed))
			continue;
		if (failed.kind == ERROR_DIED) {
			*err = failed;
			return -1;
		}
		log_info("no snapshot: %s", failed.message);
		error_clear(&failed);
		*made = false;
		break;
	}
	if (!*made)
		snapshot_drop(d);
	return 0;
}

/* The copy is the program's child and stays its zombie until it waits for it: it is made to, by one
 * call of one thread. The thread may be held already or run. */
static int reap_copy(struct dump_task *task, pid_t copy, struct error *err)
{
	struct dump_thread *speaker = &task->threads.items[0];
	bool was_held = speaker->tracee.held;
	struct agent_site site;

	if (!was_held)
		tracee_release(&speaker->tracee);
	if (!was_held &&
	    (tracee_seize(&speaker->tracee, speaker->tid, task->pid, TRACEE_SECCOMP_OFF, err) ||
	     tracee_interrupt(&speaker->tracee, err) ||
	     tracee_wait_stopped(&speaker->tracee, STOP_TIMEOUT_MS, err) ||
	     tracee_save(&speaker->tracee, err)))
		return -1;
	interrupted_look(speaker);
	/* It ran on: its areas may be others now. */
	vma_list_release(&task->maps);
	if (proc_read_maps(task->proc_fd, &task->maps, err))
		return -1;
	site = dump_site(task);
	if (agent_reap_twin(&speaker->tracee, &site, copy, err))
		return -1;
	return was_held ? 0 : tracee_detach(&speaker->tracee, err);
}

void snapshot_drop(struct dump *d)
{
	struct error failed = ERROR_INIT;
	struct dump_task **task;

	array_for(task, &d->tasks) {
		pid_t copy = (*task)->twin.tid;

		if (!copy)
			continue;
		tracee_kill(&(*task)->twin);
		fd_close(&(*task)->twin_proc_fd);
		if (reap_copy(*task, copy, &failed)) {
			log_info("process %d: %s", (*task)->pid, failed.message);
			error_clear(&failed);
		}
	}
}
