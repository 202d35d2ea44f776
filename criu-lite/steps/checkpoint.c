/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/dump.h"
#include "kinds/files.h"
#include "kinds/frozen.h"
#include "kinds/ipc/mqueue.h"
#include "kinds/ipc/sysv.h"
#include "kinds/memory.h"
#include "kinds/memory_rounds.h"
#include "kinds/net/held_packets.h"
#include "kinds/socket/connections.h"
#include "kinds/task/interrupted.h"
#include "steps/checkpoint_run.h"
#include "steps/gate.h"
#include "steps/hold.h"
#include "steps/parting.h"
#include "steps/precopy.h"
#include "steps/snapshot.h"
#include "steps/state_dump.h"
#include "steps/tree_dump.h"
#include "steps/tree_keep.h"

enum {
	GATE_MS = 100,	/* that connections get to be made and accepted … */
	GATE_GROWS = 2,	/* … and so many times twice as long */
};

static int run_preflight(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	struct blockers blockers = { 0 };
	int r;

	/* It has been judged, and what tracks its memory now would only be in the way. */
	if (run->dump.rounds && run->dump.rounds->complete)
		return preflight_again(&run->before, run->options->pid, err);
	r = preflight_look(&run->before, run->options->pid, &blockers, err) ||
				blockers_error(&blockers, err) ?
			-1 :
			0;

	blockers_release(&blockers);
	return r;
}

static int start_guard(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return guard_start(&d->guard, d->container.host_root, 0, err);
}

static void end_guard(void *context)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	guard_end(d->guard);
	d->guard = NULL;
}

static int open_stream(void *context, struct error *err)
{
	struct checkpoint_run *run = context;

	if (run->dump.out)
		return 0;
	return stream_writer_open(&run->dump.out, run->options->output, &run->options->stream, err);
}

static int hold_packets(void *context, struct error *err)
{
	return held_packets_start(&((struct checkpoint_run *)context)->dump, err);
}

static void end_packets(void *context)
{
	held_packets_end(&((struct checkpoint_run *)context)->dump);
}

/* The longer, the more often it was of no use. */
static int close_gate(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	unsigned int times = run->attempt < GATE_GROWS ? run->attempt : GATE_GROWS;

	return gate_close(&run->dump, GATE_MS << times, err);
}

static void open_gate(void *context)
{
	struct checkpoint_run *run = context;

	if (!run->released)
		gate_open(&run->dump);
}

/* Memory is carried while the program runs; what it writes to meanwhile, in the freeze. */
static int pre_copy(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	struct precopy_run rounds = {
		.dump = &run->dump,
		.before = &run->before,
		.rounds = run->dump.rounds,
	};

	/* A terminal is there before the first puppet of its session is, and comes last. */
	if (rounds.rounds && preflight_root_has_terminal(&run->before)) {
		log_notice("memory is saved in the freeze: process %d has a terminal",
			   run->options->pid);
		run->dump.rounds = rounds.rounds = NULL;
	}
	if (!rounds.rounds)
		return 0;
	if (!rounds.rounds->number && header_dump(&run->dump, err))
		return -1;
	if (precopy_rounds(&rounds, err))
		return -1;
	return preflight_again(&run->before, run->options->pid, err);
}

static int nearly(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	const struct checkpoint_options *o = run->options;

	if (!o->nearly || !run->dump.rounds)
		return 0;
	return stream_writer_flush(run->dump.out, err) || o->nearly(o->held_context, err) ? -1 : 0;
}

static int held(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	const struct checkpoint_options *o = run->options;

	if (!o->held)
		return 0;
	return stream_writer_flush(run->dump.out, err) ||
			       o->held(o->held_context, &run->dump, err) ?
		       -1 :
		       0;
}

static int freeze(void *context, struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };
	struct checkpoint_run *run = context;

	if (guard_check(run->dump.guard, err) || preflight_pids(&run->before, &tree, err) ||
	    hold_find_freezers(&run->dump, &tree, err) || frozen_watch(&run->dump, &tree, err))
		return -1;
	interrupted_prepare(&run->dump, run->options->pid, run->before.tasks.count == 1);
	run->report->frozen_at_ns = run->seized_ns = now_ns();
	return frozen_begin(&run->dump, err);
}

static void thaw(void *context)
{
	frozen_settle(&((struct checkpoint_run *)context)->dump);
}

static int hold(void *context, struct error *err)
{
	struct checkpoint_run *run = context;

	if (hold_tree(&run->dump, run->options->pid, &run->before, err))
		return -1;
	return gate_held(&run->dump, err) || connections_lock_network(&run->dump, err) ? -1 : 0;
}

static void let_go(void *context)
{
	struct checkpoint_run *run = context;

	connections_unlock_leave_open(&run->dump);
	if (!run->released)
		hold_release(&run->dump);
	connections_unlock(&run->dump);
}

static int save_tree(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	struct dump *d = &run->dump;

	if (!d->rounds)
		return header_dump(&run->dump, err) || tree_dump(d, err) ? -1 : 0;
	return memory_rounds_begin(d, true, err) || tree_dump(d, err) || tree_keep(d, err) ? -1 :
											     0;
}

static int save_maps(void *context, struct error *err)
{
	return memory_dump_maps(&((struct checkpoint_run *)context)->dump, err);
}

static int ask_tasks(void *context, struct error *err)
{
	return state_dump(&((struct checkpoint_run *)context)->dump, err);
}

/* A program that shall run on is copied and let go; if that cannot be, it stays held while its
 * pages are read. */
static int snapshot(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	const char *why = "";
	bool made;

	if (run->options->afterwards != AFTERWARDS_RUN)
		return 0;
	if (!snapshot_possible(&run->dump, &why)) {
		log_info("no snapshot: %s", why);
		return 0;
	}
	if (snapshot_take(&run->dump, &made, err))
		return -1;
	if (made)
		checkpoint_release(run);
	return 0;
}

static void drop_snapshot(void *context)
{
	snapshot_drop(&((struct checkpoint_run *)context)->dump);
}

static int save_objects(void *context, struct error *err)
{
	((struct checkpoint_run *)context)->pages_begun = true;
	return memory_dump_objects(&((struct checkpoint_run *)context)->dump, err);
}

static int save_pages(void *context, struct error *err)
{
	return memory_dump_pages(&((struct checkpoint_run *)context)->dump, err);
}

static int save_container(void *context, struct error *err)
{
	return dump_container_rows(&((struct checkpoint_run *)context)->dump, CONTAINER_FIRST, err);
}

static int save_late(void *context, struct error *err)
{
	return dump_container_rows(&((struct checkpoint_run *)context)->dump, CONTAINER_LATE, err);
}

static int scan_files(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return dump_files_new(d, err) || dump_files_scan(d->files, err) ? -1 : 0;
}

static int lock(void *context, struct error *err)
{
	return connections_lock(&((struct checkpoint_run *)context)->dump, err);
}

static void unlock(void *context)
{
	connections_unlock_leave_open(&((struct checkpoint_run *)context)->dump);
}

static int keep_locked(void *context, struct error *err)
{
	struct checkpoint_run *run = context;

	return run->options->afterwards == AFTERWARDS_KILL ?
		       connections_keep_locked(&run->dump, err) :
		       0;
}

static void forget_lock(void *context)
{
	struct checkpoint_run *run = context;

	if (run->options->afterwards == AFTERWARDS_KILL && !run->released)
		connections_forget(&run->dump);
}

static int save_files(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return dump_files_save(d->files, err) || guard_drop_sockets(d->guard, err) ? -1 : 0;
}

static int save_ipc(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return sysv_dump(d, err) || mqueue_unopened_dump(d, err) ? -1 : 0;
}

static int save_state(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return state_dump_write(d, err) || dump_container_rows(d, CONTAINER_TIMED, err) ? -1 : 0;
}

static int seal(void *context, struct error *err)
{
	struct dump *d = &((struct checkpoint_run *)context)->dump;

	return guard_check(d->guard, err) || stream_writer_seal(d->out, err) ? -1 : 0;
}

static int publish(void *context, struct error *err)
{
	const struct checkpoint_options *o = ((struct checkpoint_run *)context)->options;

	return o->publish ? o->publish(o->publish_context, err) : 0;
}

static void count_tasks(const struct dump *d, struct checkpoint_report *report)
{
	struct dump_task **task;

	report->processes = d->tasks.count;
	array_for(task, &d->tasks)
		report->threads += (*task)->threads.count;
}

static void sum_up(struct checkpoint_run *run)
{
	stream_writer_sizes(run->dump.out, &run->report->bytes_in, &run->report->bytes_out);
	count_tasks(&run->dump, run->report);
}

static int offer(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	const struct checkpoint_options *o = run->options;
	struct parting parting;

	if (!o->offer)
		return 0;
	if (parting_begin(&parting, &run->dump, err))
		return -1;
	run->taken = !o->offer(o->offer_context, &parting, err);
	if (run->taken)
		return 0;
	if (parting.unknown) {
		parting_leave(&parting);
		run->released = true;
	}
	return -1;
}

static void end_taken(void *context)
{
	struct checkpoint_run *run = context;

	if (run->taken)
		checkpoint_release(run);
}

static int release(void *context, struct error *err)
{
	sum_up(context);
	checkpoint_release(context);
	snapshot_drop(&((struct checkpoint_run *)context)->dump);
	end_guard(context);
	return 0;
}

const struct step checkpoint_steps[] = {
	{ "preflight", run_preflight, NULL },
	{ "guard", start_guard, end_guard },
	{ "open-image", open_stream, NULL },
	{ "rounds", pre_copy, NULL },
	{ "nearly", nearly, NULL },
	{ "packets", hold_packets, end_packets },
	{ "gate", close_gate, open_gate },
	{ "freeze", freeze, thaw },
	{ "hold", hold, let_go },
	{ "scan-files", scan_files, NULL },
	{ "lock", lock, unlock },
	{ "held", held, NULL },
	{ "tree", save_tree, NULL },
	{ "container", save_container, NULL },
	{ "maps", save_maps, NULL },
	{ "ask", ask_tasks, NULL },
	{ "files", save_files, NULL },
	{ "ipc", save_ipc, NULL },
	{ "state", save_state, NULL },
	{ "objects", save_objects, NULL },
	{ "snapshot", snapshot, drop_snapshot },
	{ "pages", save_pages, NULL },
	{ "late", save_late, NULL },
	{ "seal", seal, NULL },
	{ "keep-locked", keep_locked, forget_lock },
	{ "publish", publish, NULL },
	{ "offer", offer, end_taken },
	{ "release", release, NULL },
};
