/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/checkpoint.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "images/image.pb-c.h"
#include "images/tree.pb-c.h"
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
#include "network/links.h"
#include "steps/cpu.h"
#include "steps/hold.h"
#include "steps/parting.h"
#include "steps/precopy.h"
#include "steps/preflight.h"
#include "steps/records.h"
#include "steps/snapshot.h"
#include "steps/state_dump.h"
#include "steps/target.h"
#include "steps/tree_dump.h"
#include "steps/tree_keep.h"

enum {
	/* A tree that is held can show what is over in a moment; it is let go in between. */
	ATTEMPTS = 8,
	FIRST_PAUSE_NS = 4000000,	/* and twice as long each time */
};

struct checkpoint_run {
	const struct checkpoint_options *options;
	struct checkpoint_report *report;
	struct dump dump;
	struct preflight before;	/* the tree as it was seen running */
	uint64_t seized_ns;
	bool pages_begun;	/* there is no way back in the stream */
	bool released;
	bool taken;	/* whoever it was offered to runs it: it must not go on here */
	bool *done;
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

/* A program that runs on takes its packets itself. */
static int hold_packets(void *context, struct error *err)
{
	struct checkpoint_run *run = context;

	if (run->options->afterwards == AFTERWARDS_RUN)
		return 0;
	return held_packets_start(&run->dump, err);
}

static void end_packets(void *context)
{
	struct checkpoint_run *run = context;

	if (!run->released)
		held_packets_give_back(&run->dump);
	held_packets_end(&run->dump);
}

static int write_header(struct checkpoint_run *run, struct error *err);

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
	if (!rounds.rounds->number && write_header(run, err))
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
	held_packets_from_now(&run->dump);
	return connections_lock_network(&run->dump, err);
}

static void let_go(void *context)
{
	struct checkpoint_run *run = context;

	connections_unlock(&run->dump);
	if (!run->released)
		hold_release(&run->dump);
}

static int write_header(struct checkpoint_run *run, struct error *err)
{
	static const Image__TargetState target_states[] = {
		[AFTERWARDS_KILL] = IMAGE__TARGET_STATE__KILLED,
		[AFTERWARDS_RUN] = IMAGE__TARGET_STATE__RUNNING,
		[AFTERWARDS_STOP] = IMAGE__TARGET_STATE__STOPPED,
	};
	Image m = IMAGE__INIT;
	struct timespec now;
	struct utsname host;
	uint8_t *id = run->dump.image_id;
	int r;

	if (getrandom(id, sizeof(run->dump.image_id), 0) != sizeof(run->dump.image_id) ||
	    uname(&host))
		return error_set(err, ERROR_FAILED, errno, "cannot name the image");
	clock_gettime(CLOCK_REALTIME, &now);
	m.creator = "criu-lite";
	m.id = (ProtobufCBinaryData){ sizeof(run->dump.image_id), id };
	m.created_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
	m.root_pid = run->options->pid;
	m.page_size = sysconf(_SC_PAGESIZE);
	m.machine = host.machine;
	m.kernel_release = host.release;
	m.hostname = host.nodename;
	m.has_target_state = true;
	m.target_state = target_states[run->options->afterwards];
	m.cpu = cpu_describe();
	if (!m.cpu)
		return error_set(err, ERROR_FAILED, ENOMEM, "processor");
	r = stream_write(run->dump.out, RECORD_HEADER, RECORD_CRITICAL, &m.base, err);
	cpu__free_unpacked(m.cpu, NULL);
	return r;
}

static int save_tree(void *context, struct error *err)
{
	struct checkpoint_run *run = context;
	struct dump *d = &run->dump;

	if (!d->rounds)
		return write_header(run, err) || tree_dump(d, err) ? -1 : 0;
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

/* Its connections go without a word. If we die in the middle, the program must not use sockets that
 * have been silenced before the guard has taken that back; and then, before the guard has ended
 * it. */
static void silence(struct checkpoint_run *run)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (frozen_stay(&run->dump, &failed))
		log_info("%s", failed.message);
	dump_files_silence(run->dump.files);
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
}

/* The end of the freeze, in the way that was asked for. */
static void release_tree(struct checkpoint_run *run)
{
	if (run->released)
		return;
	switch (run->options->afterwards) {
	case AFTERWARDS_KILL:
		silence(run);
		close_network(&run->dump);
		run->report->frozen_ns = now_ns() - run->seized_ns;
		*run->done = true;
		hold_kill(&run->dump);
		connections_unlock(&run->dump);
		break;
	case AFTERWARDS_RUN:
		connections_unlock(&run->dump);
		hold_release(&run->dump);
		run->report->frozen_ns = now_ns() - run->seized_ns;
		break;
	case AFTERWARDS_STOP:
		connections_unlock(&run->dump);
		hold_release_stopped(&run->dump);
		run->report->frozen_ns = now_ns() - run->seized_ns;
		break;
	}
	run->released = true;
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
		release_tree(run);
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
	return dump_container_rows(&((struct checkpoint_run *)context)->dump, false, err);
}

static int save_late(void *context, struct error *err)
{
	return dump_container_rows(&((struct checkpoint_run *)context)->dump, true, err);
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
	connections_unlock(&((struct checkpoint_run *)context)->dump);
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
	return state_dump_write(&((struct checkpoint_run *)context)->dump, err);
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
		release_tree(run);
}

static int release(void *context, struct error *err)
{
	sum_up(context);
	release_tree(context);
	snapshot_drop(&((struct checkpoint_run *)context)->dump);
	end_guard(context);
	return 0;
}

static const struct step steps[] = {
	{ "preflight", run_preflight, NULL },
	{ "guard", start_guard, end_guard },
	{ "open-image", open_stream, NULL },
	{ "rounds", pre_copy, NULL },
	{ "nearly", nearly, NULL },
	{ "packets", hold_packets, end_packets },
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

/* Preflight has found nothing, and yet something was in the way once the tree was held: a
 * connection that was just being made, a process that was just ending. */
static bool may_pass(const struct checkpoint_run *run, const struct error *err)
{
	if (!run->seized_ns || run->released ||
	    (err->kind != ERROR_BLOCKED && err->kind != ERROR_DIED))
		return false;
	/* A round can be begun once more. */
	if (run->dump.rounds)
		return !run->pages_begun;
	return !run->dump.out || stream_writer_undo(run->dump.out);
}

/* What goes on in the next attempt: a pre-copy with its stream. */
struct carried {
	struct memory_rounds *rounds;
	struct stream_writer *out;
	uint8_t image_id[16];
	struct network_lock new_ones;	/* connections that come while others wait for accept(2) */
};

static int attempt(const struct checkpoint_options *options, const struct container *container,
		   struct checkpoint_report *report, struct carried *carried, bool *done,
		   bool *again, struct error *err)
{
	struct checkpoint_run run = { .options = options, .report = report, .done = done };
	_cleanup_error_ struct error unlocked = ERROR_INIT;
	int r;

	_Static_assert(ARRAY_SIZE(steps) <= CHECKPOINT_STEPS_MAX, "room for all times");
	*report = (struct checkpoint_report){ .steps = ARRAY_SIZE(steps) };
	run.dump.options = options;
	run.dump.rounds = carried->rounds;
	run.dump.out = steal_ptr(carried->out);
	memcpy(run.dump.image_id, carried->image_id, sizeof(run.dump.image_id));
	run.dump.container = *container;
	run.dump.closes_connections = options->tcp == TCP_CLOSE;
	run.dump.lock = NETWORK_LOCK_NONE;
	run.before.container = &run.dump.container;
	run.before.closes_connections = run.dump.closes_connections;
	r = steps_run(steps, ARRAY_SIZE(steps), &run, report->times, err);
	*again = r && may_pass(&run, err);
	if (*again && connections_hold_new(&run.dump, &carried->new_ones, &unlocked))
		log_info("%s", unlocked.message);
	lock_flows_release(&run.dump.awaited);
	if (*again && run.dump.rounds) {
		carried->out = steal_ptr(run.dump.out);
		memcpy(carried->image_id, run.dump.image_id, sizeof(run.dump.image_id));
	}
	stream_writer_free(run.dump.out);
	held_packets_end(&run.dump);
	dump_files_free(run.dump.files);
	memory_dump_free(&run.dump);
	hold_free(&run.dump);
	freezers_release(&run.dump.freezers);
	preflight_release(&run.before);
	gadget_cache_release(&run.dump.gadgets);
	restart_reader_close(&run.dump.restarts);
	buffer_release(&run.dump.state);
	return r;
}

static int try_some_times(const struct checkpoint_options *options,
			  const struct container *container, struct checkpoint_report *report,
			  struct carried *carried, bool *done, struct error *err)
{
	struct timespec moment = { .tv_nsec = FIRST_PAUSE_NS };
	bool again;
	int i;

	for (i = 1; attempt(options, container, report, carried, done, &again, err); i++) {
		if (!again || i == ATTEMPTS)
			return -1;
		log_info("%s; once more", err->message);
		error_clear(err);
		nanosleep(&moment, NULL);
		moment.tv_nsec *= 2;
	}
	return 0;
}

int checkpoint_inside(const struct checkpoint_options *options, const struct container *container,
		      struct checkpoint_report *report, bool *done, struct error *err)
{
	struct carried carried = { .new_ones = NETWORK_LOCK_NONE };
	int r;

	if (options->precopy && precopy_possible(options->precopy)) {
		carried.rounds = memory_rounds_new();
		if (!carried.rounds)
			return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
	}
	r = try_some_times(options, container, report, &carried, done, err);
	network_unlock(&carried.new_ones);
	stream_writer_free(carried.out);
	memory_rounds_free(carried.rounds);
	return r;
}
