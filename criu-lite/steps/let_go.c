/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ends of holding a tree. */
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "kinds/frozen.h"
#include "steps/hold.h"

enum {
	LATE_STOP_TIMEOUT_MS = 500,
	EXIT_TIMEOUT_MS = 10000,
	STOP_TIMEOUT_NS = 500 * 1000 * 1000,
};

static void note_failure(pid_t tid, struct error *failed)
{
	log_info("task %d: %s", tid, failed->message);
	error_clear(failed);
}

/* Every thread gets its registers back before the agent that it stands in goes. */
static void take_agent_out(struct dump_task *task)
{
	struct error failed = ERROR_INIT;
	struct dump_thread *t;

	array_for(t, &task->threads)
		if (t->tracee.held && tracee_restore(&t->tracee, &failed))
			note_failure(t->tid, &failed);
	if (task->threads.count &&
	    agent_remove(&task->agent, &task->threads.items[0].tracee, &failed))
		note_failure(task->pid, &failed);
}

/* Those of its threads that are held, or those that have not stopped yet: they cannot be let go
 * before. */
static void detach(struct dump_task *task, bool held)
{
	struct error failed = ERROR_INIT;
	struct dump_thread *t;

	array_for(t, &task->threads) {
		if (t->tracee.held != held || !t->tracee.tid)
			continue;
		if ((!held && tracee_wait_stopped(&t->tracee, LATE_STOP_TIMEOUT_MS, &failed)) ||
		    tracee_detach(&t->tracee, &failed))
			note_failure(t->tid, &failed);
		else
			t->tracee.tid = 0;
	}
}

void hold_let_go(struct dump_task *task)
{
	detach(task, true);
}

void hold_clean(struct dump *d)
{
	struct dump_task **task;

	array_for(task, &d->tasks)
		take_agent_out(*task);
}

/* The first of a pid namespace takes no signal from within. It must have this one before it is let
 * go. */
static void stop_first(struct dump *d)
{
	uint64_t deadline = now_ns() + STOP_TIMEOUT_NS;

	if (d->container.signaller < 0)
		return;
	eventfd_write(d->container.signaller, SIGSTOP);
	while (now_ns() < deadline) {
		_cleanup_proc_status_ struct proc_status status = { 0 };
		_cleanup_error_ struct error gone = ERROR_INIT;

		if (proc_read_status(d->tasks.items[0]->proc_fd, &status, &gone) ||
		    status.shd_pnd >> (SIGSTOP - 1) & 1)
			return;
	}
}

static void release_all(struct dump *d, bool stopped)
{
	struct dump_task **task;

	hold_clean(d);
	frozen_settle(d);
	array_for(task, &d->tasks)
		if (stopped && !(*task)->zombie)
			kill((*task)->pid, SIGSTOP);
	if (stopped)
		stop_first(d);
	array_for(task, &d->tasks)
		detach(*task, true);
	array_for(task, &d->tasks)
		detach(*task, false);
}

void hold_release(struct dump *d)
{
	release_all(d, false);
}

void hold_release_stopped(struct dump *d)
{
	release_all(d, true);
}

/* Children first, so that none is reparented into the hands of a process that we do not hold. */
void hold_kill(struct dump *d)
{
	struct error failed = ERROR_INIT;
	size_t i, k;

	for (i = d->tasks.count; i-- > 0;)
		if (!d->tasks.items[i]->zombie)
			kill(d->tasks.items[i]->pid, SIGKILL);
	/* The first of a pid namespace takes no signal from within. */
	if (d->container.signaller >= 0)
		eventfd_write(d->container.signaller, SIGKILL);
	/* In version 1 none can end before; and now none can run any more. */
	if (frozen_stay_no_more(d, &failed))
		note_failure(d->tasks.items[0]->pid, &failed);
	for (i = d->tasks.count; i-- > 0;) {
		struct dump_task *task = d->tasks.items[i];
		struct pollfd exited = { .fd = task->pidfd, .events = POLLIN };

		for (k = task->threads.count; k-- > 0;)
			tracee_kill(&task->threads.items[k].tracee);
		if (task->pidfd >= 0)
			poll(&exited, 1, EXIT_TIMEOUT_MS);
	}
	frozen_settle(d);
}
