/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A held copy of a process: what a snapshot is read from while the program runs on. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proc/status.h"
#include "tracee/agent.h"
#include "tracee/internal.h"

enum { STOP_TIMEOUT_MS = 5000 };

/* If memory runs short the copy goes first. That it cannot be said is no reason to fail. */
static void offer_to_oom_killer(pid_t pid)
{
	char path[64];
	_cleanup_fd_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1000", 4) != 4)
		return;
}

/* The descriptor table is shared at birth, so that nothing is held open for a moment; the copy then
 * gets an empty one of its own, so that the program's exit closes everything. */
static int drop_descriptors(const struct agent *a, struct tracee *twin, struct error *err)
{
	struct agent own = *a;
	_cleanup_batch_ struct batch b = { 0 };

	own.puppet = true;
	batch_start(&b, &own);
	batch_must(&b, SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE);
	return tracee_get_regs(twin, &twin->saved, err) || agent_run(&own, twin, &b, err) ? -1 : 0;
}

static int bear(struct agent *a, struct tracee *t, pid_t *ret, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int child;

	batch_start(&b, a);
	child = batch_add(&b, BATCH_MUST | BATCH_TWIN, SYS_clone,
			  (const uint64_t[6]){ CLONE_FILES | CLONE_FS });
	t->event_message = 0;
	if (a->note)
		a->note->twin_due = true;
	if (agent_run(a, t, &b, err))
		return -1;
	/* Our pid of it, which differs from the result in a pid namespace. */
	*ret = batch_result(&b, child) > 0 ? (pid_t)t->event_message : 0;
	if (!*ret)
		return error_set(err, ERROR_TARGET, 0, "process %d: its copy was lost", t->tgid);
	if (a->note)
		a->note->twin = *ret;
	return 0;
}

int agent_fork_twin(struct agent *a, struct tracee *t, struct tracee *ret_twin, struct error *err)
{
	pid_t pid;

	if (tracee_follow(t, true, false, err) || bear(a, t, &pid, err))
		return -1;
	*ret_twin = (struct tracee){ .tid = pid, .tgid = pid, .seccomp_off = t->seccomp_off };
	if (tracee_wait_stopped(ret_twin, STOP_TIMEOUT_MS, err) ||
	    tracee_follow(ret_twin, false, true, err) || tracee_follow(t, false, false, err) ||
	    drop_descriptors(a, ret_twin, err)) {
		tracee_kill(ret_twin);
		return -1;
	}
	offer_to_oom_killer(pid);
	return 0;
}

/* The pid of a task in its own namespace. */
static pid_t inner_pid(pid_t pid)
{
	_cleanup_proc_status_ struct proc_status status = { 0 };
	_cleanup_error_ struct error unknown = ERROR_INIT;
	_cleanup_fd_ int dir = proc_open(pid);

	if (proc_read_status(dir, &status, &unknown) || !status.ns_pid.count)
		return 0;
	return status.ns_pid.id[status.ns_pid.count - 1];
}

int agent_reap_twin(struct tracee *t, const struct agent_site *site, pid_t twin, struct error *err)
{
	const uint64_t args[6] = { inner_pid(twin), 0, __WALL | WNOHANG, 0 };
	int64_t result;

	if (args[0] && agent_call_once(t, site, &result, err, SYS_wait4, args))
		return -1;
	if (site->note) {
		site->note->twin = 0;
		site->note->twin_due = false;
	}
	return 0;
}
