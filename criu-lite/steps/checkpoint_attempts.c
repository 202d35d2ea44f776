/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a checkpoint are run until they get through. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/memory_rounds.h"
#include "kinds/net/held_packets.h"
#include "kinds/socket/connections.h"
#include "steps/checkpoint_run.h"
#include "steps/hold.h"
#include "steps/precopy.h"

enum {
	/* A tree that is held can show what is over in a moment; it is let go in between. */
	ATTEMPTS = 8,
	FIRST_PAUSE_NS = 4000000,	/* and twice as long each time */
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
	unsigned int attempts;
	struct network_lock new_ones;	/* connections that come while others wait for accept(2) */
};

static int attempt(const struct checkpoint_options *options, const struct container *container,
		   struct checkpoint_report *report, struct carried *carried, bool *done,
		   bool *again, struct error *err)
{
	struct checkpoint_run run = { .options = options, .report = report, .done = done };
	_cleanup_error_ struct error unlocked = ERROR_INIT;
	int r;

	*report = (struct checkpoint_report){ .steps = CHECKPOINT_STEPS };
	run.dump.options = options;
	run.dump.rounds = carried->rounds;
	run.dump.out = steal_ptr(carried->out);
	memcpy(run.dump.image_id, carried->image_id, sizeof(run.dump.image_id));
	run.dump.container = *container;
	run.dump.closes_connections = options->tcp == TCP_CLOSE;
	run.dump.runs_on = options->afterwards == AFTERWARDS_RUN;
	run.dump.lock = run.dump.gate = NETWORK_LOCK_NONE;
	run.attempt = carried->attempts++;
	run.before.container = &run.dump.container;
	run.before.closes_connections = run.dump.closes_connections;
	r = steps_run(checkpoint_steps, CHECKPOINT_STEPS, &run, report->times, err);
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
	network_unlock(&run.dump.gate);
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
