/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/net/held_packets.h"
#include "network/takeover.h"
#include "kinds/socket/connections.h"
#include "steps/cpu.h"
#include "steps/load.h"
#include "steps/one_processor.h"
#include "steps/puppets.h"
#include "steps/release.h"
#include "steps/rounds.h"
#include "steps/state_restore.h"
#include "steps/tree_restore.h"
#include "steps/waiting.h"

enum { GUARD_TRIES = 8 };

struct restore_run {
	const struct restore_options *options;
	struct restore_report *report;
	struct restore r;
	Image *image;
	Tree *tree;
	struct one_processor turns;
	bool pidfile_made;
	struct cell cell;	/* with a waiting room … */
	bool decided;		/* … that it has left for good: nothing is taken back any more */
};

static int open_stream(void *context, struct error *err)
{
	struct restore_run *run = context;

	const struct restore_options *o = run->options;

	return (o->connection ?
			stream_reader_open_connection(&run->r.in, o->input, o->jobs, o->connection,
						      err) :
			stream_reader_open(&run->r.in, o->input, o->jobs, err)) ||
			       load_header(&run->r, &run->image, err) ||
			       restore_files_new(&run->r, run->options->stdio,
						 run->options->stdio_file, err) ?
		       -1 :
		       0;
}

static int load(void *context, struct error *err)
{
	struct restore_run *run = context;

	return load_up_to_pages(&run->r, &run->tree, err);
}

/* It must not sit on a pid of the image; a second one, made while the first is there, has
 * another. */
static int start_guard(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	struct guard *sitting[GUARD_TRIES] = { 0 };
	size_t i, count = 0;
	int failed = guard_start(&r->guard, r->container.host_root, err);

	while (!failed && count < GUARD_TRIES && puppets_is_saved_id(r, guard_pid(r->guard))) {
		sitting[count++] = r->guard;
		failed = guard_start(&r->guard, r->container.host_root, err);
	}
	for (i = 0; i < count; i++)
		guard_end(sitting[i]);
	return failed;
}

static void end_guard(void *context)
{
	struct restore *r = &((struct restore_run *)context)->r;

	guard_end(r->guard);
	r->guard = NULL;
}

static int preflight(void *context, struct error *err)
{
	struct restore_run *run = context;
	struct utsname host;

	if (uname(&host) == 0 && run->image->machine && strcmp(run->image->machine, host.machine))
		return error_set(err, ERROR_BLOCKED, 0, "the image was made on %s, this is %s",
				 run->image->machine, host.machine);
	if (run->image->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
		return error_set(err, ERROR_BLOCKED, 0, "the image has pages of %u bytes",
				 run->image->page_size);
	if (cpu_check(&run->r, run->image->cpu, err))
		return -1;
	return restore_files_check(run->r.files, err) || tree_check_ids(&run->r, err) ? -1 : 0;
}

typedef int (*container_op)(struct restore *r, const ProtobufCMessage *message, struct error *err);

/* Calls one operation of all rows that have a message; offset is of it in struct container_ops. */
static int each_container_row(struct restore *r, size_t offset, struct error *err)
{
	const struct kind *const *row;

	if (r->takeover)
		takeover_announce(r->takeover);
	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = restore_container_state(r, *row);
		container_op op;

		if (!message || !(*row)->container)
			continue;
		op = *(const container_op *)((const char *)(*row)->container + offset);
		if (op && op(r, message, err))
			return -1;
	}
	return 0;
}

static int prepare_container(void *context, struct error *err)
{
	return each_container_row(&((struct restore_run *)context)->r,
				  offsetof(struct container_ops, prepare), err);
}

static void undo_container(void *context)
{
	struct restore_run *run = context;
	struct restore *r = &run->r;
	size_t i;

	for (i = kinds_count(); i-- > 0 && !run->decided;) {
		const struct kind *kind = kinds_table[i];

		if (kind->container && kind->container->undo && r->container_state[i])
			kind->container->undo(r, r->container_state[i]);
	}
}

static int build_container(void *context, struct error *err)
{
	return each_container_row(&((struct restore_run *)context)->r,
				  offsetof(struct container_ops, build), err);
}

static int finish_container(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;

	if (each_container_row(r, offsetof(struct container_ops, finish), err))
		return -1;
	return r->container.namespaces & CLONE_NEWNET ? takeover_prepare(&r->takeover, -1, err) : 0;
}

static int ready(void *context, struct error *err)
{
	const struct restore_options *o = ((struct restore_run *)context)->options;

	return o->ready ? o->ready(o->ready_context, err) : 0;
}

static int enter_cell(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;

	one_processor_end(&run->turns);
	return room ? waiting_begin(&run->r, run->tree, room, &run->cell, err) : 0;
}

static void leave_cell(void *context)
{
	struct restore_run *run = context;

	if (run->decided)
		waiting_go(run->options->waiting_room, &run->cell);
	else if (run->options->waiting_room)
		waiting_undo(&run->r, &run->cell);
}

/* A signal that ends us must not meet us between the decision and the tree's going. */
static int decide(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;
	sigset_t all;

	if (!room)
		return 0;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* What was made is the tree's from now on. */
	end_guard(run);
	run->decided = !room->decide(room->context, err);
	return run->decided ? 0 : -1;
}

/* Once it is decided that the tree runs here it must not be ended any more. */
static int go_on(const struct restore_run *run, int failed, struct error *err)
{
	if (!failed || !run->decided)
		return failed;
	log_notice("%s", err->message);
	error_clear(err);
	return 0;
}

static int open_container(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	const struct kind *const *row;

	if (r->takeover)
		takeover_announce(r->takeover);
	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = restore_container_state(r, *row);

		if (message && (*row)->container && (*row)->container->open)
			(*row)->container->open(r, message);
	}
	return 0;
}

static int make_puppets(void *context, struct error *err)
{
	struct restore_run *run = context;

	one_processor_begin(&run->turns);
	return puppets_prepare(&run->r, err) || tree_restore(&run->r, run->tree, err) ? -1 : 0;
}

static void end_puppets(void *context)
{
	struct restore_run *run = context;

	if (run->decided)
		return;
	puppets_kill(&run->r);
	memory_undo(&run->r);
}

static int fill_pages(void *context, struct error *err)
{
	struct restore_run *run = context;
	int r;

	one_processor_end(&run->turns);
	r = memory_restore_pages(&run->r, err);
	one_processor_begin(&run->turns);
	return r;
}

/* Of a program that was pre-copied, what came later: the tree is another one then. */
static int take_rounds(void *context, struct error *err)
{
	struct restore_run *run = context;
	int r;

	if (!run->r.in_rounds)
		return 0;
	one_processor_end(&run->turns);
	r = rounds_restore(&run->r, &run->tree, err);
	one_processor_begin(&run->turns);
	return r;
}

static int verify_seal(void *context, struct error *err)
{
	return load_seal(&((struct restore_run *)context)->r, err);
}

static int lock(void *context, struct error *err)
{
	struct restore_run *run = context;

	run->r.image_mark = network_lock_mark(run->image->id.data, run->image->id.len);
	network_lock_name(run->image->id.data, run->image->id.len, run->r.image_lock);
	return connections_lock_restored(&run->r, err);
}

static void unlock(void *context)
{
	network_unlock(&((struct restore_run *)context)->r.lock);
}

static int open_files(void *context, struct error *err)
{
	return restore_files_open(((struct restore_run *)context)->r.files, err);
}

static void undo_files(void *context)
{
	struct restore_run *run = context;

	if (!run->decided)
		restore_files_undo(run->r.files);
}

static int make_threads(void *context, struct error *err)
{
	return tree_restore_threads(&((struct restore_run *)context)->r, err);
}

static int install_files(void *context, struct error *err)
{
	struct restore_run *run = context;

	return restore_files_install(run->r.files, err) ||
			       restore_files_settle(run->r.files, err) ?
		       -1 :
		       0;
}

static int exit_zombies(void *context, struct error *err)
{
	struct restore_run *run = context;
	size_t i;

	for (i = 0; i < run->r.tasks.count; i++)
		if (run->r.tasks.items[i]->zombie || run->tree->tasks[i]->leader_gone)
			one_processor_free(&run->turns,
					   run->r.tasks.items[i]->threads.items[0]->tracee.tid);
	return tree_restore_exits(&run->r, run->tree, err);
}

static int put_state(void *context, struct error *err)
{
	return state_restore(&((struct restore_run *)context)->r, err);
}

/* The last that is run in the puppets: the hand-over socket goes. */
static int settle(void *context, struct error *err)
{
	struct restore_run *run = context;
	_cleanup_batch_ struct batch b = { 0 };
	struct restore_task **t;

	if (memory_finish(&run->r, err))
		return -1;
	array_for(t, &run->r.tasks) {
		if ((*t)->zombie)
			continue;
		batch_start(&b, &(*t)->agent);
		restore_files_drop_service(*t, &b);
		if (b.records.count && restore_run(*t, &b, err))
			return -1;
	}
	return 0;
}

static int set_registers(void *context, struct error *err)
{
	struct restore_run *run = context;

	return release_prepare(&run->r, run->tree, err);
}

/* The guard is somewhere else: it wants absolute paths. */
static int note_file(struct guard *guard, const char *path, struct error *err)
{
	_cleanup_free_ char *directory = *path == '/' ? NULL : getcwd(NULL, 0), *absolute = NULL;

	if (*path == '/')
		return guard_will_make(guard, GUARD_FILE, 0, path, err);
	if (!directory || asprintf(&absolute, "%s/%s", directory, path) < 0) {
		absolute = NULL;
		return error_set(err, ERROR_FAILED, errno, "%s", path);
	}
	return guard_will_make(guard, GUARD_FILE, 0, absolute, err);
}

static int write_pidfile(void *context, struct error *err)
{
	struct restore_run *run = context;
	_cleanup_file_ FILE *file = NULL;
	struct stat st;

	run->report->root_pid = run->r.tasks.items[0]->threads.items[0]->tracee.tgid;
	if (!run->options->pidfile)
		return 0;
	if (access(run->options->pidfile, F_OK) &&
	    note_file(run->r.guard, run->options->pidfile, err))
		return -1;
	file = fopen(run->options->pidfile, "we");
	run->pidfile_made = file && !fstat(fileno(file), &st) && S_ISREG(st.st_mode);
	if (!file || fprintf(file, "%d\n", run->report->root_pid) < 0 || fflush(file))
		return error_set(err, ERROR_FAILED, errno, "%s", run->options->pidfile);
	return 0;
}

static void remove_pidfile(void *context)
{
	struct restore_run *run = context;

	if (run->pidfile_made && !run->decided)
		unlink(run->options->pidfile);
}

/* Packets flow, and sockets are let go of: from here on peers can tell that we are here. */
static int let_packets_flow(void *context, struct error *err)
{
	struct restore_run *run = context;

	return go_on(run, connections_unlock_restored(&run->r, err), err);
}

static int let_sockets_go(void *context, struct error *err)
{
	struct restore_run *run = context;

	return go_on(run, restore_files_go(run->r.files, err), err);
}

/* A signal that ends us must not meet us while only a part of the program runs. */
static int go(void *context, struct error *err)
{
	struct restore_run *run = context;
	struct restore_task **t;
	sigset_t all, before;
	int r;

	if (run->options->waiting_room) {
		waiting_go(run->options->waiting_room, &run->cell);
		return 0;
	}
	/* A puppet that is let go does not die with us any more, but half a tree must not live. */
	array_for(t, &run->r.tasks)
		if (!(*t)->zombie && guard_keep_process(run->r.guard, (*t)->pidfd, err))
			return -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	r = release_go(&run->r, run->tree, err);
	/* From now on what was made is the program's. */
	if (!r)
		end_guard(run);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static const struct step steps[] = {
	{ "open-image", open_stream, NULL },
	{ "load", load, NULL },
	{ "guard", start_guard, end_guard },
	{ "preflight", preflight, NULL },
	{ "prepare", prepare_container, undo_container },
	{ "build", build_container, NULL },
	{ "puppets", make_puppets, end_puppets },
	{ "pages", fill_pages, NULL },
	{ "rounds", take_rounds, NULL },
	{ "seal", verify_seal, NULL },
	{ "lock", lock, unlock },
	{ "files", open_files, undo_files },
	{ "threads", make_threads, NULL },
	{ "install", install_files, NULL },
	{ "exits", exit_zombies, NULL },
	{ "state", put_state, NULL },
	{ "settle", settle, NULL },
	{ "registers", set_registers, NULL },
	{ "pidfile", write_pidfile, remove_pidfile },
	{ "finish", finish_container, NULL },
	{ "cell", enter_cell, leave_cell },
	{ "ready", ready, NULL },
	{ "decide", decide, NULL },
	{ "unlock", let_packets_flow, NULL },
	{ "sockets", let_sockets_go, NULL },
	{ "open", open_container, NULL },
	{ "go", go, NULL },
};

static void count_tasks(const struct restore *r, struct restore_report *report)
{
	struct restore_task **t;

	report->processes = r->tasks.count;
	array_for(t, &r->tasks)
		report->threads += (*t)->threads.count;
}

int restore(const struct restore_options *options, struct restore_report *report,
	    struct error *err)
{
	struct restore_run run = { .options = options, .report = report };
	int result;

	_Static_assert(ARRAY_SIZE(steps) <= RESTORE_STEPS_MAX, "room for all times");
	*report = (struct restore_report){ .steps = ARRAY_SIZE(steps), .relay = -1 };
	run.r.relays = options->relay;
	run.r.detached = options->detached;
	run.r.relay = -1;
	run.r.lock = NETWORK_LOCK_NONE;
	run.r.options = options;
	run.r.container = CONTAINER_NONE;
	run.r.container.externals = options->externals;
	run.r.container.externals_count = options->externals_count;
	run.r.container.root = options->root;
	run.cell = CELL_NONE;
	run.r.service[0] = run.r.service[1] = -1;
	result = steps_run(steps, ARRAY_SIZE(steps), &run, report->times, err);
	count_tasks(&run.r, report);
	if (result)
		fd_close(&run.r.relay);
	report->relay = run.r.relay;
	held_packets_forget(&run.r);
	takeover_free(run.r.takeover);
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
