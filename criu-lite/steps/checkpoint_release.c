/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/files.h"
#include "kinds/frozen.h"
#include "kinds/socket/connections.h"
#include "network/links.h"
#include "steps/checkpoint_run.h"
#include "steps/gate.h"
#include "steps/hold.h"
#include "steps/steps.h"

/* The first of a pid namespace takes no signal from within, neither of ours nor of the guard's,
 * which thaws the tree; but it gets one of the kernel's when its tracer dies. */
static void bind_first(const struct dump *d)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct tracee *first = &d->tasks.items[0]->threads.items[0].tracee;

	if (d->container.namespaces & CLONE_NEWPID && tracee_follow(first, false, true, &failed))
		log_notice("%s", failed.message);
}

/* Its connections go without a word. If we die in the middle, the program must not use sockets that
 * have been silenced before the guard has taken that back; and then, before the guard has ended
 * it. */
static void silence(struct checkpoint_run *run)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (frozen_stay(&run->dump, &failed))
		log_info("%s", failed.message);
	dump_files_silence(run->dump.files);
	bind_first(&run->dump);
	guard_will_end(run->dump.guard);
	guard_recall(run->dump.guard);
}

/* A network namespace goes some time after its last process, its packet filter before its links:
 * in between it would answer with resets what is meant for its successor. */
static void close_network(const struct dump *d)
{
	_cleanup_links_ struct links links = { 0 };
	_cleanup_error_ struct error trouble = ERROR_INIT;

	if (!(d->container.namespaces & CLONE_NEWNET))
		return;
	if (links_read(&links, &trouble))
		log_notice("%s", trouble.message);
	links_take_down(&links);
	connections_hasten_end(d);
}

static void let_go(struct checkpoint_run *run, void (*release)(struct dump *))
{
	connections_unlock_leave_open(&run->dump);
	release(&run->dump);
	run->report->frozen_ns = now_ns() - run->seized_ns;
	gate_open(&run->dump);
	connections_unlock(&run->dump);
}

void checkpoint_release(struct checkpoint_run *run)
{
	if (run->released)
		return;
	switch (run->options->afterwards) {
	case AFTERWARDS_KILL:
		silence(run);
		steps_fault_end("silenced");
		close_network(&run->dump);
		run->report->frozen_ns = now_ns() - run->seized_ns;
		*run->done = true;
		hold_kill(&run->dump);
		connections_unlock(&run->dump);
		break;
	case AFTERWARDS_RUN:
		let_go(run, hold_release);
		break;
	case AFTERWARDS_STOP:
		let_go(run, hold_release_stopped);
		break;
	}
	run->released = true;
}
