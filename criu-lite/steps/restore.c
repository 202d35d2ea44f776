/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/net/held_packets.h"
#include "kinds/ns/namespaces.h"
#include "kinds/socket/connections.h"
#include "kinds/socket/unix.h"
#include "network/replay.h"
#include "network/takeover.h"
#include "steps/cpu.h"
#include "steps/inside.h"
#include "steps/load.h"
#include "steps/one_processor.h"
#include "steps/puppets.h"
#include "steps/release.h"
#include "steps/rounds.h"
#include "steps/state_restore.h"
#include "steps/tree_restore.h"
#include "steps/waiting.h"

enum { GUARD_TRIES = 8, INNER_GUARD_FIRST = 301, INNER_GUARD_TRIES = 4096 };

struct restore_run {
	const struct restore_options *options;
	struct restore_report *report;
	struct restore r;
	Image *image;
	Tree *tree;
	struct one_processor turns;
	char *pidfile;		/* as it is reached from where the steps run */
	bool pidfile_made;
	struct cell cell;	/* with a waiting room … */
	bool *decided;		/* … that it has left for good: nothing is taken back any more;
				 * seen also by who waits for us */
	struct guard *outer_guard;	/* of the other process, if there are two */
	int first;	/* pidfd of the first puppet, when it was made before all others */
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

	return load_up_to_pages(&run->r, &run->tree, err) || namespaces_load(&run->r, err) ? -1 : 0;
}

/* It must not sit on a pid of the image; a second one, made while the first is there, has
 * another. */
static int start_guard(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	struct guard *sitting[GUARD_TRIES] = { 0 };
	size_t i, count = 0;
	int failed = guard_start(&r->guard, -1, 0, err);

	while (!failed && count < GUARD_TRIES && puppets_is_saved_id(r, guard_pid(r->guard))) {
		sitting[count++] = r->guard;
		failed = guard_start(&r->guard, -1, 0, err);
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
	if (restore_files_check(run->r.files, err))
		return -1;
	/* In a pid namespace of its own all are free. */
	return run->r.container.namespaces & CLONE_NEWPID ? 0 : tree_check_ids(&run->r, err);
}

typedef int (*container_op)(struct restore *r, const ProtobufCMessage *message, struct error *err);

/* Calls one operation of all rows that have a message; offset is of it in struct container_ops. */
static int each_container_row(struct restore *r, size_t offset, struct error *err)
{
	const struct kind *const *row;

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

	for (i = kinds_count(); i-- > 0 && !*run->decided;) {
		const struct kind *kind = kinds_table[i];

		if (kind->container && kind->container->undo && r->container_state[i])
			kind->container->undo(r, r->container_state[i]);
	}
}

/* The guard is somewhere else, and so may be who writes it. */
static int find_pidfile(struct restore_run *run, struct error *err)
{
	const char *path = run->options->pidfile;
	_cleanup_free_ char *directory = *path == '/' ? strdup("") : getcwd(NULL, 0);
	_cleanup_free_ char *absolute = NULL;

	if (!directory ||
	    asprintf(&absolute, "%s%s%s", directory, *path == '/' ? "" : "/", path) < 0)
		absolute = NULL;
	run->pidfile = absolute ? container_host_path(&run->r.container, absolute) : NULL;
	return run->pidfile ? 0 : error_set(err, ERROR_FAILED, errno, "%s", path);
}

static int make_first(void *context, struct error *err)
{
	struct restore_run *run = context;

	if (run->r.container.namespaces && inside_open_host(&run->r.container, err))
		return -1;
	if (run->options->pidfile && find_pidfile(run, err))
		return -1;
	if (!run->r.container.namespaces)
		return 0;
	return puppets_prepare(&run->r, err) ||
			       puppet_make_first(&run->r, &run->first, err) ?
		       -1 :
		       0;
}

static void end_first(void *context)
{
	struct restore_run *run = context;

	if (!*run->decided)
		puppet_end_first(&run->r, run->first);
}

static int see(void *context, struct error *err)
{
	const struct restore *r = &((struct restore_run *)context)->r;

	return r->container.namespaces & (CLONE_NEWPID | CLONE_NEWNS) ? inside_see(err) : 0;
}

/* Who works inside has a guard there, beside the one that knows what was made outside. One that
 * sits on an id of the image cannot be reaped here, so it is born with another one. */
static int start_inner_guard(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	pid_t pid = INNER_GUARD_FIRST;

	if (!r->container.namespaces)
		return 0;
	if (!(r->container.namespaces & CLONE_NEWPID))
		return start_guard(context, err);
	for (; pid < INNER_GUARD_FIRST + INNER_GUARD_TRIES; pid++) {
		struct error taken = ERROR_INIT;

		if (puppets_is_saved_id(r, pid))
			continue;
		if (!guard_start(&r->guard, r->container.host_root, pid, &taken))
			return 0;
		if (taken.os_error != EEXIST) {
			*err = taken;
			return -1;
		}
		error_clear(&taken);
		end_guard(context);
	}
	return error_set(err, ERROR_FAILED, 0, "no free id for the guard");
}

static void end_inner_guard(void *context)
{
	if (((struct restore_run *)context)->r.container.namespaces)
		end_guard(context);
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
	held_packets_expect(r);
	return r->container.namespaces & CLONE_NEWNET ? takeover_prepare(&r->takeover, -1, err) : 0;
}

static int ready(void *context, struct error *err)
{
	const struct restore_options *o = ((struct restore_run *)context)->options;

	return o->ready ? o->ready(o->ready_context, err) : 0;
}

static int prepare_cell(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;

	return room ? waiting_prepare(&run->r, room, &run->cell, err) : 0;
}

static void drop_cell(void *context)
{
	struct restore_run *run = context;

	if (!*run->decided)
		waiting_dissolve(&run->cell);
}

static int enter_cell(void *context, struct error *err)
{
	struct restore_run *run = context;

	one_processor_end(&run->turns);
	return run->options->waiting_room ?
		       waiting_begin(&run->r, run->tree, &run->cell, err) :
		       0;
}

static void leave_cell(void *context)
{
	struct restore_run *run = context;

	const struct waiting_room *room = run->options->waiting_room;

	/* As long as we live, nobody but us knows of the decision. */
	if (!room)
		*run->decided = false;
	else if (*run->decided)
		waiting_go(&run->r, room, &run->cell);
	else
		waiting_undo(&run->r, &run->cell);
}

/* The tree that we hold does not die with us any more. Before all know that, half of it must not
 * live; then its sockets can do without us, and it lives if we die. */
static int spare(struct restore_run *run, struct error *err)
{
	struct restore_task **t;
	size_t k;

	array_for(t, &run->r.tasks)
		if (!(*t)->zombie && guard_keep_process(run->r.guard, (*t)->pidfd, err))
			return -1;
	array_for(t, &run->r.tasks)
		for (k = 0; !(*t)->zombie && k < (*t)->threads.count - (*t)->leader_gone; k++)
			if (tracee_follow(&(*t)->threads.items[k]->tracee, false, false, err))
				return -1;
	if (guard_will_go(run->r.guard, run->r.image_lock, err))
		return -1;
	*run->decided = true;
	return 0;
}

/* A signal that ends us must not meet us between the decision and the tree's going. */
static int decide(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;
	sigset_t all;

	if (!room)
		return spare(run, err);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* What was made is the tree's from now on, also if we die. */
	guard_dismiss(run->outer_guard);
	if (guard_will_go(run->r.guard, run->r.image_lock, err))
		return -1;
	/* If we die in the middle, it is up to who waits for us to find out. */
	*run->decided = true;
	if (!room->decide(room->context, err))
		return 0;
	*run->decided = false;
	return -1;
}

/* Once it is decided that the tree runs here it must not be ended any more. */
static int go_on(const struct restore_run *run, int failed, struct error *err)
{
	if (!failed || !*run->decided)
		return failed;
	log_notice("%s", err->message);
	error_clear(err);
	return 0;
}

static int open_container(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	const struct kind *const *row;

	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = restore_container_state(r, *row);

		if (message && (*row)->container && (*row)->container->open)
			(*row)->container->open(r, message);
	}
	unix_names_take_place(r);
	if (r->takeover)
		takeover_announce(r->takeover);
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

	if (*run->decided)
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

	if (!*run->decided)
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

static int write_pidfile(void *context, struct error *err)
{
	struct restore_run *run = context;
	_cleanup_file_ FILE *file = NULL;
	struct stat st;

	run->report->root_pid = run->r.container.host_pid ?
					run->r.container.host_pid :
					run->r.tasks.items[0]->threads.items[0]->tracee.tgid;
	if (!run->options->pidfile)
		return 0;
	if (access(run->pidfile, F_OK) &&
	    guard_will_make(run->r.guard, GUARD_FILE, 0, run->pidfile, err))
		return -1;
	file = fopen(run->pidfile, "we");
	run->pidfile_made = file && !fstat(fileno(file), &st) && S_ISREG(st.st_mode);
	if (!file || fprintf(file, "%d\n", run->report->root_pid) < 0 || fflush(file))
		return error_set(err, ERROR_FAILED, errno, "%s", run->options->pidfile);
	return 0;
}

static void remove_pidfile(void *context)
{
	struct restore_run *run = context;

	if (run->pidfile_made && !*run->decided)
		unlink(run->pidfile);
}

/* From here on peers can tell that we are here. */
static int let_packets_flow(void *context, struct error *err)
{
	struct restore_run *run = context;

	return go_on(run, connections_unlock_restored(&run->r, err), err);
}

static int wake_sockets(void *context, struct error *err)
{
	struct restore_run *run = context;

	return go_on(run, restore_files_wake(run->r.files, err), err);
}

static int let_sockets_go(void *context, struct error *err)
{
	return restore_files_let_go(((struct restore_run *)context)->r.files, err);
}

/* A signal that ends us must not meet us while only a part of the program runs. */
static int go(void *context, struct error *err)
{
	struct restore_run *run = context;
	sigset_t all, before;
	int r;

	if (run->options->waiting_room) {
		waiting_go(&run->r, run->options->waiting_room, &run->cell);
		end_guard(run);
		return 0;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	r = cgroups_pause(&run->r, err) || release_go(&run->r, run->tree, err) ? -1 : 0;
	if (r)
		cgroups_end_pause(&run->r);
	/* From now on what was made is the program's. */
	if (!r)
		end_guard(run);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Packets that had come to where the tree was, until it was known there that it runs here. */
static int take_late_packets(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;
	_cleanup_error_ struct error ignored = ERROR_INIT;
	HeldPackets *packets;

	if (!room || !room->packets)
		return 0;
	if (room->packets(room->context, &packets, &ignored)) {
		log_info("packets that came late are lost: %s", ignored.message);
		return 0;
	}
	held_packets_arrive(&run->r, packets);
	held_packets__free_unpacked(packets, NULL);
	return 0;
}

static const struct step outer_steps[] = {
	{ "open-image", open_stream, NULL },
	{ "load", load, NULL },
	{ "guard", start_guard, end_guard },
	{ "preflight", preflight, NULL },
	{ "prepare", prepare_container, undo_container },
	{ "cell-place", prepare_cell, drop_cell },
	{ "first", make_first, end_first },
};

/* In the namespaces of the tree, by another process if it has some of its own. */
static const struct step inner_steps[] = {
	{ "inner-guard", start_inner_guard, end_inner_guard },
	{ "build", build_container, NULL },
	{ "see", see, NULL },
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
	{ "sockets", let_sockets_go, NULL },
	{ "decide", decide, NULL },
	{ "unlock", let_packets_flow, NULL },
	{ "wake", wake_sockets, NULL },
	{ "open", open_container, NULL },
	{ "go", go, NULL },
	{ "late", take_late_packets, NULL },
};

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
	if (run->r.container.namespaces) {
		run->outer_guard = run->r.guard;
		run->r.guard = NULL;
	}
	r = steps_run(inner_steps, ARRAY_SIZE(inner_steps), run,
		      report->times + ARRAY_SIZE(outer_steps), err);

	count_tasks(&run->r, report);
	if (r)
		fd_close(&run->r.relay);
	report->relay = run->r.relay;
	network_unlock(&run->r.lock);
	network_unlock(&run->r.lock);
	replayer_free(run->r.replayer);
	takeover_free(run->r.takeover);
	unix_names_release(&run->r);
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
		.namespaces = run->r.container.namespaces & ~(uint64_t)CLONE_NEWTIME,
		.pidfd = run->first,
		.signaller = -1,
		.taken = is_saved_id,
		.context = run,
	};
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
	const size_t outer = ARRAY_SIZE(outer_steps);

	if (steps_run(outer_steps, outer, run, run->report->times, err))
		return -1;
	if (run->r.container.namespaces ? run_inside(run, err) : run_inner(run, err)) {
		steps_undo(outer_steps, outer, run);
		return -1;
	}
	end_guard(run);
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
	int result;

	_Static_assert(ARRAY_SIZE(outer_steps) + ARRAY_SIZE(inner_steps) <= RESTORE_STEPS_MAX,
		       "room for all times");
	*report = (struct restore_report){
		.steps = ARRAY_SIZE(outer_steps) + ARRAY_SIZE(inner_steps),
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
	result = run_all(&run, err);
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
