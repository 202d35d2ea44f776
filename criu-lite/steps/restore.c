/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/restore.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/memory.h"
#include "kinds/net/held_packets.h"
#include "kinds/socket/unix.h"
#include "kinds/task/late_locks.h"
#include "network/replay.h"
#include "network/takeover.h"
#include "steps/inside.h"
#include "steps/load.h"
#include "steps/puppets.h"
#include "steps/restore_run.h"
#include "steps/unstopped.h"

static void count_tasks(const struct restore *r, struct restore_report *report)
{
	struct restore_task **t;

	report->processes = r->tasks.count;
	array_for(t, &r->tasks)
		report->threads += (*t)->threads.count;
}

/* Everything from the first puppet on. */
static int run_inner(void *context, struct error *err)
{
	struct restore_run *run = context;
	struct restore_report *report = run->report;
	int r;

	/* The one that is there is not of this process. */
	if (container_foreign(&run->r.container)) {
		run->outer_guard = run->r.guard;
		run->r.guard = NULL;
	}
	r = steps_run(restore_inner_steps, RESTORE_INNER_STEPS, run,
		      report->times + RESTORE_OUTER_STEPS, err);

	count_tasks(&run->r, report);
	if (r)
		fd_close(&run->r.relay);
	report->relay = run->r.relay;
	network_unlock(&run->r.lock);
	network_unlock(&run->r.lock);
	held_packets_forget(&run->r);
	replayer_free(run->r.replayer);
	takeover_free(run->r.takeover);
	unix_names_release(&run->r);
	late_locks_release(&run->r);
	return r;
}

static bool is_saved_id(void *context, pid_t pid)
{
	return puppets_is_saved_id(&((struct restore_run *)context)->r, pid);
}

/* What both processes see. */
struct outcome {
	struct restore_report report;
	bool decided;
};

/* Another process does it, whose results come over shared memory. A terminal in place of the
 * caller's would be its own. */
static int run_inside(struct restore_run *run, struct error *err)
{
	const struct inside where = {
		.namespaces = container_foreign(&run->r.container) & ~(uint64_t)CLONE_NEWTIME,
		.pidfd = run->first,
		.signaller = -1,
		.taken = is_saved_id,
		.context = run,
	};
	const struct waiting_room *room = run->options->waiting_room;
	struct restore_report *ours = run->report;
	bool *decided = run->decided;
	struct outcome *shared = inside_memory(sizeof(*shared));
	int r;

	if (!shared)
		return error_set(err, ERROR_FAILED, ENOMEM, "restore");
	shared->report = *ours;
	run->report = &shared->report;
	run->decided = &shared->decided;
	run->r.relays = false;
	r = inside_run(&where, run_inner, run, &shared->decided, err);
	run->report = ours;
	*ours = shared->report;
	run->decided = decided;
	*decided = shared->decided;
	if (*decided && room && !room->was_decided(room->context)) {
		*decided = false;
		r = error_set(err, ERROR_DIED, 0,
			      "the work inside of the tree's namespaces was killed");
	}
	ours->relay = -1;
	inside_memory_free(shared, sizeof(*shared));
	return r;
}

/* Frames get lost, and switches learn late. */
static void announce_again(struct restore_run *run)
{
	_cleanup_takeover_ struct takeover *t = NULL;
	_cleanup_error_ struct error failed = ERROR_INIT;
	pid_t pid;

	if ((run->r.container.namespaces & CLONE_NEWNET) &&
	    (takeover_prepare(&t, run->first, &failed) ||
	     takeover_repeat(t, run->first, &pid, &failed)))
		log_info("%s", failed.message);
}

static int run_all(struct restore_run *run, struct error *err)
{
	const size_t outer = RESTORE_OUTER_STEPS;

	if (steps_run(restore_outer_steps, outer, run, run->report->times, err))
		return -1;
	if (container_foreign(&run->r.container) ? run_inside(run, err) : run_inner(run, err)) {
		steps_undo(restore_outer_steps, outer, run);
		return -1;
	}
	restore_end_guard(run);
	announce_again(run);
	return 0;
}

int restore(const struct restore_options *options, struct restore_report *report,
	    struct error *err)
{
	bool decided = false;
	struct restore_run run = {
		.options = options,
		.report = report,
		.first = -1,
		.decided = &decided,
	};
	sigset_t before;
	int result;

	_Static_assert(RESTORE_OUTER_STEPS + RESTORE_INNER_STEPS <= RESTORE_STEPS_MAX,
		       "room for all times");
	*report = (struct restore_report){
		.steps = RESTORE_OUTER_STEPS + RESTORE_INNER_STEPS,
		.relay = -1,
	};
	run.r.relays = options->relay;
	run.r.detached = options->detached;
	run.r.decides_later = options->waiting_room;
	run.r.relay = -1;
	run.r.lock = NETWORK_LOCK_NONE;
	run.r.options = options;
	run.r.container = CONTAINER_NONE;
	run.r.container.externals = options->externals;
	run.r.container.externals_count = options->externals_count;
	run.r.container.root = options->root;
	run.cell = CELL_NONE;
	run.r.service[0] = run.r.service[1] = -1;
	unstopped_begin(&before);
	result = run_all(&run, err);
	unstopped_end(&before);
	fd_close(&run.first);
	free(run.pidfile);
	container_release(&run.r.container);
	stream_reader_free(run.r.in);
	restore_files_free(run.r.files);
	memory_restore_free(&run.r);
	puppets_release(&run.r);
	cell_release(&run.cell);
	load_free_tasks(&run.r);
	if (run.tree)
		tree__free_unpacked(run.tree, NULL);
	if (run.image)
		image__free_unpacked(run.image, NULL);
	return result;
}
