/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a restore in the namespaces of the tree. */
#include "steps/restore_run.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kernel-compat/calls.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/memory.h"
#include "kinds/net/held_packets.h"
#include "kinds/ns/namespaces.h"
#include "kinds/socket/connections.h"
#include "kinds/socket/unix.h"
#include "network/takeover.h"
#include "steps/inside.h"
#include "steps/load.h"
#include "steps/puppets.h"
#include "steps/release.h"
#include "steps/rounds.h"
#include "steps/state_restore.h"
#include "steps/tree_restore.h"

enum { INNER_GUARD_FIRST = 301, INNER_GUARD_TRIES = 4096, INNER_GUARD_LAST = 32767 };

static int see(void *context, struct error *err)
{
	const struct restore *r = &((struct restore_run *)context)->r;

	return r->container.namespaces & (CLONE_NEWPID | CLONE_NEWNS) ? inside_see(err) : 0;
}

/* Ids to try, in turn. In a further round of a pre-copy the tree may have more processes, but those
 * get ids above the last one that it gave out. */
static pid_t guard_id(pid_t last, int turn)
{
	if (last > INNER_GUARD_LAST)
		last = INNER_GUARD_LAST;
	return turn < last - 1 ? last - turn : INNER_GUARD_FIRST + turn;
}

/* Who works inside has a guard there, beside the one that knows what was made outside. One that
 * sits on an id of the image cannot be reaped here, so it is born with another one. */
static int start_inner_guard(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	pid_t last = namespaces_last_pid(r);
	int turn;

	if (!container_foreign(&r->container))
		return 0;
	if (!(r->container.namespaces & CLONE_NEWPID))
		return restore_start_guard(context, err);
	for (turn = 0; turn < INNER_GUARD_TRIES; turn++) {
		struct error taken = ERROR_INIT;
		pid_t pid = guard_id(last, turn);

		if (puppets_is_saved_id(r, pid))
			continue;
		if (!guard_start(&r->guard, r->container.host_root, pid, &taken))
			return 0;
		if (taken.os_error != EEXIST) {
			*err = taken;
			return -1;
		}
		error_clear(&taken);
		restore_end_guard(context);
	}
	return error_set(err, ERROR_FAILED, 0, "no free id for the guard");
}

static void end_inner_guard(void *context)
{
	if (container_foreign(&((struct restore_run *)context)->r.container))
		restore_end_guard(context);
}

static int build_container(void *context, struct error *err)
{
	return restore_container_rows(&((struct restore_run *)context)->r,
				  offsetof(struct container_ops, build), err);
}

static int finish_container(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;

	if (restore_container_rows(r, offsetof(struct container_ops, finish), err))
		return -1;
	held_packets_expect(r);
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

/* If we die before it was decided, all that was made goes with us. */
static int make_guards_ask(const struct restore_run *run, struct error *err)
{
	const struct waiting_room *room = run->options->waiting_room;
	_cleanup_fd_ int ourselves = sys_pidfd_open(getpid(), 0);
	struct guard_decision decision;

	if (ourselves < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open ourselves");
	room->where(room->context, &decision);
	decision.writer = ourselves;
	return guard_will_ask(run->outer_guard, &decision, err) ||
			       guard_will_ask(run->r.guard, &decision, err) ||
			       guard_will_go(run->r.guard, run->r.image_lock, err) ?
		       -1 :
		       0;
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
	if (make_guards_ask(run, err))
		return -1;
	/* If we die in the middle, it is up to who waits for us to find out. */
	*run->decided = true;
	if (!room->decide(room->context, err)) {
		guard_dismiss(run->outer_guard);
		return 0;
	}
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
	struct restore *r = &((struct restore_run *)context)->r;

	return load_seal(r, err) || namespaces_check(r, err) ? -1 : 0;
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
		restore_end_guard(run);
		return 0;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	r = cgroups_pause(&run->r, err) || release_go(&run->r, run->tree, err) ? -1 : 0;
	if (r)
		cgroups_end_pause(&run->r);
	/* From now on what was made is the program's. */
	if (!r)
		restore_end_guard(run);
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

	held_packets_arrive_late(&run->r);
	if (!room || !room->packets)
		return 0;
	if (room->packets(room->context, &packets, &ignored)) {
		log_info("packets that came late are lost: %s", ignored.message);
		return 0;
	}
	if (held_packets_arrive(&run->r, packets, &ignored))
		log_info("packets that came late are lost: %s", ignored.message);
	else
		held_packets_arrive_late(&run->r);
	held_packets__free_unpacked(packets, NULL);
	return 0;
}

const struct step restore_inner_steps[RESTORE_INNER_STEPS] = {
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
