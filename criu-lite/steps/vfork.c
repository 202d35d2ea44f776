/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/vfork.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/calls.h"
#include "proc/syscall.h"

bool vfork_waits(const struct dump_thread *t)
{
	_cleanup_error_ struct error unknown = ERROR_INIT;
	_cleanup_fd_ int dir = -1;
	struct proc_syscall call;
	char path[32];

	snprintf(path, sizeof(path), "task/%d", t->tid);
	dir = openat(t->task->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || proc_read_syscall(dir, &call, &unknown) ||
	    call.state != PROC_SYSCALL_BLOCKED)
		return false;
	/* The flags of clone3 are in memory; nothing else makes it sleep for long. */
	return call.number == SYS_vfork || call.number == SYS_clone || call.number == SYS_clone3;
}

static bool uses_memory_of(const struct dump_task *task, const struct dump_task *parent)
{
	_cleanup_error_ struct error unknown = ERROR_INIT;
	struct proc_stat stat;

	return !proc_read_stat(task->proc_fd, &stat, &unknown) && stat.ppid == parent->pid &&
	       sys_kcmp(parent->pid, task->pid, KCMP_VM, 0, 0) == 0;
}

void vfork_let_children_go(const struct dump_task *task)
{
	struct dump_task **child;
	size_t i;

	array_for(child, &task->dump->tasks) {
		if (*child == task || !uses_memory_of(*child, task))
			continue;
		for (i = (*child)->threads.count; i-- > 0;) {
			_cleanup_error_ struct error trouble = ERROR_INIT;
			struct dump_thread *t = &(*child)->threads.items[i];

			if (!t->tracee.held)
				continue;
			if (tracee_detach(&t->tracee, &trouble))
				log_info("task %d: %s", t->tid, trouble.message);
			*t = (*child)->threads.items[--(*child)->threads.count];
		}
	}
}
