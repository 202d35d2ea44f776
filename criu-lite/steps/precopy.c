/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/precopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kernel-compat/calls.h"
#include "kernel-compat/features.h"
#include "kinds/enter.h"
#include "kinds/frozen.h"
#include "kinds/memory.h"
#include "kinds/memory_rounds.h"
#include "kinds/task/interrupted.h"
#include "proc/tasks.h"
#include "steps/hold.h"
#include "steps/tree_dump.h"
#include "steps/tree_keep.h"

enum {
	TRIES = 5,		/* of a round that meets a tree in motion */
	PAUSE_NS = 4000000,	/* and twice as long each time */
	/* A round of which more than this part (of 8) of the one before is to be brought does not
	 * help. */
	CONVERGING = 7,
	/* Within the limit one is made that leaves less than this part of what there is. */
	CHEAP = 5,
	/* What a round takes beside its pages, and fewer pages than this are not worth one. */
	ROUND_NS = 30000000,
	FEW_PAGES = 128,
};

/* ---- tracking ---- */

/* Only the process itself can make a userfaultfd of its memory. */
static int make_uffd(struct dump_task *task, struct error *err)
{
	struct tracee *speaker = &task->threads.items[0].tracee;
	_cleanup_batch_ struct batch b = { 0 };
	int opened, pause, fd, why;

	if (dump_enter(task, err))
		return -1;
	batch_start(&b, &task->agent);
	opened = batch_call(&b, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	pause = agent_pause(&task->agent, &b);
	batch_from(&b, batch_call(&b, SYS_close), 0, opened);
	if (agent_run_to_pause(&task->agent, speaker, &b, pause, err))
		return -1;
	why = -batch_result(&b, opened);
	fd = why > 0 ? -1 : sys_pidfd_getfd(task->pidfd, batch_result(&b, opened));
	if (fd < 0 && why <= 0)
		why = errno;
	if (agent_run_on(&task->agent, speaker, &b, err) || dump_leave(task, err)) {
		fd_close(&fd);
		return -1;
	}
	if (fd >= 0 && dirty_use_uffd(&task->round->dirty, fd)) {
		why = errno;
		fd = -1;
	}
	if (fd < 0)
		log_info("process %d: each page counts as written to: %s", task->pid,
			 strerror(why));
	return 0;
}

/* Begins to track what is new, or has another address space than before. */
static int track(struct dump_task *task, struct error *err)
{
	if (!task->round) {
		task->round = calloc(1, sizeof(*task->round));
		if (!task->round)
			return error_set(err, ERROR_FAILED, ENOMEM, "rounds");
		task->round->dirty.uffd = -1;
	} else if (task->round->dirty.uffd < 0 || !task->round->dirty.lost) {
		return 0;
	}
	dirty_release(&task->round->dirty);
	if (task->zombie)
		return 0;
	return make_uffd(task, err);
}

static int track_all(struct dump *d, struct error *err)
{
	struct dump_task **task;

	array_for(task, &d->tasks)
		if (track(*task, err))
			return error_wrap(err, "process %d", (*task)->pid);
	return 0;
}

/* ---- a round ---- */

static int hold(struct dump *d, struct preflight *before, uint64_t *ret_begin_ns,
		struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };
	pid_t root = d->options->pid;

	if (guard_check(d->guard, err) || preflight_again(before, root, err) ||
	    preflight_pids(before, &tree, err) || hold_find_freezers(d, &tree, err) ||
	    frozen_watch(d, &tree, err))
		return -1;
	interrupted_prepare(d, root, before->tasks.count == 1);
	*ret_begin_ns = now_ns();
	if (!frozen_begin(d, err) && !hold_tree(d, root, before, err))
		return 0;
	frozen_settle(d);
	return -1;
}

static int write_held(struct dump *d, struct error *err)
{
	return memory_rounds_begin(d, false, err) || tree_dump(d, err) || tree_keep(d, err) ||
			       dump_container_rows(d, CONTAINER_FIRST, err) ||
			       dump_container_rows(d, CONTAINER_TIMED, err) ||
			       memory_dump_maps(d, err) || track_all(d, err) ||
			       memory_dump_watch(d, err) ?
		       -1 :
		       0;
}

static void release(struct dump *d)
{
	memory_dump_free(d);
	hold_free(d);
	freezers_release(&d->freezers);
	restart_reader_close(&d->restarts);
	gadget_cache_release(&d->gadgets);
}

/* *ret_held_ns is how long the program stood still for it. */
static int one_round(struct precopy_run *run, uint64_t *ret_held_ns, struct error *err)
{
	struct dump d = {
		.options = run->dump->options,
		.container = run->dump->container,
		.out = run->dump->out,
		.guard = run->dump->guard,
		.rounds = run->rounds,
	};
	uint64_t begin = 0;
	int r;

	if (hold(&d, run->before, &begin, err)) {
		hold_release(&d);
		release(&d);
		guard_forget(run->dump->guard);
		return -1;
	}
	r = write_held(&d, err);
	hold_release(&d);
	guard_forget(d.guard);
	*ret_held_ns = now_ns() - begin;
	if (!r)
		r = memory_dump_objects(&d, err) || memory_dump_pages(&d, err) ||
				    memory_rounds_end(&d, err) || stream_writer_flush(d.out, err) ?
			    -1 :
			    0;
	release(&d);
	return r;
}

/* A tree that is held can show what is over in a moment. */
static int round_at_last(struct precopy_run *run, uint64_t *ret_held_ns, struct error *err)
{
	struct timespec moment = { .tv_nsec = PAUSE_NS };
	int i;

	for (i = 1; one_round(run, ret_held_ns, err); i++) {
		if ((err->kind != ERROR_BLOCKED && err->kind != ERROR_DIED) || i == TRIES)
			return -1;
		log_info("%s; once more", err->message);
		error_clear(err);
		nanosleep(&moment, NULL);
		moment.tv_nsec *= 2;
	}
	return 0;
}

/* ---- how long ---- */

struct measured {
	struct precopy_progress last;
	uint64_t bytes, ended_ns;	/* of the stream, up to the last round */
};

static bool is_untracked(const struct memory_rounds *m)
{
	struct round_task **t;

	array_for(t, &m->tasks)
		if (!(*t)->zombie && (*t)->dirty.uffd < 0)
			return true;
	return false;
}

static void measure(struct precopy_run *run, struct measured *m, uint64_t begin,
		    uint64_t held_ns)
{
	uint64_t bytes, unpacked, now = now_ns(), took = now - begin;
	struct precopy_progress *p = &m->last;

	stream_writer_sizes(run->dump->out, &unpacked, &bytes);
	p->pages = run->rounds->pages;
	p->dirty_pages = memory_rounds_estimate(run->rounds);
	p->dirty_per_second = p->dirty_pages * 1000000000ull / (took + 1);
	/* A round of a few pages says nothing about the connection. */
	if (!p->bytes_per_second || bytes - m->bytes > 1 << 20)
		p->bytes_per_second = (bytes - m->bytes) * 1000000000ull / (took + 1) + 1;
	p->expected_ns = held_ns + p->dirty_pages * PAGE_BYTES * 1000000000ull /
					   p->bytes_per_second;
	p->untracked = is_untracked(run->rounds);
	m->bytes = bytes;
	log_info("round %u: %llu pages in %llu ms, %llu us of them held, %llu written to meanwhile, "
		 "%llu MB/s", p->round,
		 (unsigned long long)p->pages, (unsigned long long)took / 1000000,
		 (unsigned long long)held_ns / 1000,
		 (unsigned long long)p->dirty_pages,
		 (unsigned long long)p->bytes_per_second / 1000000);
}

bool precopy_possible(const struct precopy_options *o)
{
	const struct precopy_progress nothing = { .untracked = true };

	if (feature_works("userfaultfd-wp-async"))
		return true;
	log_notice("memory is saved in the freeze: this kernel cannot tell what a running program "
		   "writes to (userfaultfd-wp-async, Linux 6.7)");
	if (o->progress)
		o->progress(o->context, &nothing);
	return false;
}

/* Short enough as it is, but the last round was a long one: a further one is over in no time and
 * leaves clearly less to do. */
static bool is_cheap(const struct precopy_progress *p)
{
	uint64_t took = p->dirty_pages * PAGE_BYTES * 1000000000ull / p->bytes_per_second +
			ROUND_NS;

	return p->dirty_pages > FEW_PAGES &&
	       p->dirty_per_second * took / 1000000000 < p->dirty_pages / 8 * CHEAP;
}

int precopy_rounds(struct precopy_run *run, struct error *err)
{
	const struct precopy_options *o = run->dump->options->precopy;
	struct measured m = { 0 };
	uint64_t before;
	unsigned round;

	for (round = 0; round <= o->max_rounds; round++) {
		uint64_t begin = now_ns(), held_ns = 0;

		before = m.last.dirty_pages;
		if (round_at_last(run, &held_ns, err))
			return -1;
		m.last.round = round;
		measure(run, &m, begin, held_ns);
		if (o->progress)
			o->progress(o->context, &m.last);
		if ((m.last.expected_ns <= o->max_downtime_ms * 1000000ull && !is_cheap(&m.last)) ||
		    (round && m.last.dirty_pages > before / 8 * CONVERGING))
			break;
	}
	return 0;
}
