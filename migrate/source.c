/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "freeze/cell.h"
#include "images/migration.pb-c.h"
#include "kinds/net/held_packets.h"
#include "migrate/hello.h"
#include "migrate/needs.h"
#include "migrate/pending.h"
#include "migrate/record.h"
#include "migrate/requirements.h"
#include "migrate/resolve.h"
#include "migrate/rootfs.h"
#include "proc/tasks.h"
#include "runtime/runtime.h"
#include "steps/parting.h"
#include "steps/preflight.h"
#include "steps/target.h"
#include "steps/unstopped.h"

enum {
	READY_TIMEOUTS = 6,	/* so many --timeout for the destination to finish */
	CELL_NAME_SIZE = 32,
};

/* Shared with the process that stands in the tree's namespaces while it is saved. */
struct source {
	const struct migrate_options *options;
	struct migrate_report *report;
	struct mounts_outside places;
	struct rootfs_copy *copy;	/* not shared: each process goes on from where it was */
	struct pid_list tree;	/* as this machine numbers it, root first */
	MigrateRequirements *requirements;
	struct link link;
	int state_directory;
	struct record_file record;
	struct cell cell;
	struct precopy_options precopy;
	unsigned rounds;
	uint64_t begun_ns, sealed_ns, ready_ns, committed_ns, running_ns;
	bool committed, shares_network;
	/* The record and the cell are settled, or must stay for those who ask again. */
	bool hands_off;
	int pid;
};

static void say(const struct source *s, const char *what)
{
	if (s->options->progress)
		s->options->progress(what);
}

static struct checkpoint_options checkpoint_options_of(const struct migrate_options *o)
{
	return (struct checkpoint_options){
		.pid = o->target->pid,
		.target = o->target,
		.externals = o->externals,
		.externals_count = o->externals_count,
		.tcp = o->tcp,
		.stream = o->stream,
		.afterwards = AFTERWARDS_KILL,
	};
}

static int look(void *context, struct error *err)
{
	struct source *s = context;
	const struct target *target = s->options->target;
	const struct checkpoint_options options = checkpoint_options_of(s->options);
	struct preflight before = { 0 };
	const char *root = target->container.rootfs;
	uint64_t namespaces;
	int r;

	say(s, "looking at the tree");
	r = checkpoint_look(&options, &before, &namespaces, err);
	s->shares_network = !(namespaces & CLONE_NEWNET);
	preflight_release(&before);
	if (r || proc_list_tree(target->pid, &s->tree, err))
		return -1;
	if (rootfs_find(target->pid, options.externals, options.externals_count, &s->places, err))
		return -1;
	if (!root && s->options->rootfs == ROOTFS_SYNC && s->places.items.count)
		root = s->places.items.items[0].host_path;
	s->requirements = requirements_collect(&s->tree, namespaces, root, err);
	if (!s->requirements ||
	    needs_collect(s->requirements, target, &s->tree, namespaces, err))
		return -1;
	s->requirements->has_root_comes = true;
	s->requirements->root_comes = s->options->rootfs == ROOTFS_SYNC;
	return 0;
}

static int connect_there(void *context, struct error *err)
{
	struct source *s = context;

	say(s, "connecting");
	return transport_check(&s->options->transport, err) ||
			       transport_connect(&s->options->transport, s->options->where,
						 &s->link, err) ?
		       -1 :
		       0;
}

/* Where a lock on its packets is found when no process of it is left. */
static int note_network(struct source *s, struct error *err)
{
	const struct migrate_options *o = s->options;
	static const char given[] = "ns[net]";
	const char *path = "/proc/self/ns/net";
	size_t i;

	if (!s->shares_network)
		return 0;
	for (i = 0; i < o->externals_count; i++)
		if (o->externals[i].length == strlen(given) &&
		    !memcmp(o->externals[i].name, given, strlen(given)))
			path = o->externals[i].value;
	if (*path == '/')
		strlcpy(s->record.network, path, sizeof(s->record.network));
	else if (!realpath(path, s->record.network))
		return error_set(err, ERROR_USAGE, errno, "%s", path);
	return 0;
}

static int begin_record(void *context, struct error *err)
{
	struct source *s = context;

	s->state_directory = record_directory(s->options->state_directory, err);
	if (s->state_directory < 0 ||
	    record_begin(&s->record, s->state_directory, SIDE_SOURCE, s->report->id, err))
		return -1;
	s->record.pid = s->options->target->pid;
	if (s->options->container)
		strlcpy(s->record.container, s->options->container, sizeof(s->record.container));
	if (s->options->where)
		strlcpy(s->record.peer, s->options->where, sizeof(s->record.peer));
	return note_network(s, err);
}

static void end_record(void *context)
{
	struct source *s = context;
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (!s->hands_off && s->record.lock_fd >= 0 && record_remove(&s->record, &failed))
		log_notice("%s", failed.message);
	record_release(&s->record);
}

static int greet(void *context, struct error *err)
{
	struct source *s = context;

	return hello_say(&s->link, s->report->id, false, s->record.destination, err);
}

/* A verdict's blockers are foreign text. */
static int refuse(MigrateVerdict *m, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	size_t i;

	for (i = 0; i < m->n_blockers; i++) {
		MigrateBlocker *b = m->blockers[i];
		char *line;
		int size = asprintf(&line, "\n  %s: %s%s%s%s", b->object, b->reason,
				    b->remedy ? " (" : "", b->remedy ?: "", b->remedy ? ")" : "");

		if (size < 0 || buffer_append(&text, line, size + 1))
			return error_set(err, ERROR_FAILED, ENOMEM, "verdict");
		text.size--;
		link_make_printable(line);
		free(line);
	}
	link_make_printable(text.data);
	return error_set(err, ERROR_BLOCKED, 0,
			 "the tree cannot run on the destination, nothing was touched:%s",
			 text.data);
}

static int ask_for_verdict(void *context, struct error *err)
{
	struct source *s = context;
	ProtobufCMessage *answer;
	int r;

	say(s, "asking the destination");
	if (link_fault(&s->link, "migrate-requirements", err) ||
	    pending_collect(s->state_directory, PENDING_MAX, &s->requirements->pending, err) ||
	    link_send(&s->link, MESSAGE_REQUIREMENTS, &s->requirements->base, err) ||
	    link_expect(&s->link, MESSAGE_VERDICT, s->link.timeout_ms, &answer, err))
		return -1;
	r = ((MigrateVerdict *)answer)->n_blockers ? refuse((MigrateVerdict *)answer, err) : 0;
	protobuf_c_message_free_unpacked(answer, NULL);
	return r;
}

static int bring_files(void *context, struct error *err)
{
	struct source *s = context;
	const struct migrate_options *o = s->options;

	say(s, "comparing files");
	if (rootfs_compare(&s->link, &s->places, o->rootfs == ROOTFS_SYNC, &s->tree, err))
		return -1;
	if (o->rootfs != ROOTFS_SYNC)
		return 0;
	say(s, "copying the root file system");
	return rootfs_begin(s->copy, &s->link, &s->places, o->container, &o->stream, err);
}

/* The tree must be held by a cgroup alone while it is not known whose it is. */
static int find_cell(void *context, struct error *err)
{
	struct source *s = context;
	const struct target *target = s->options->target;
	char name[CELL_NAME_SIZE], id[RECORD_ID_TEXT];

	if (cell_find(&s->cell, &s->tree, target->cgroup, err))
		return -1;
	if (s->cell.freezer.was_frozen) {
		error_set(err, ERROR_BLOCKED, 0, "the cgroup %s is frozen", s->cell.freezer.path);
		return error_hint(err, "thaw it first");
	}
	if (!s->cell.freezer.path) {
		record_id_text(s->report->id, id);
		snprintf(name, sizeof(name), "criu-lite-%.12s", id);
		if (cell_plan(&s->cell, &s->tree, name, err))
			return -1;
	}
	if (record_note_cell(&s->record, &s->cell, err) ||
	    record_write(&s->record, RECORD_PREPARING, err))
		return -1;
	if (!s->cell.made)
		return 0;
	return cell_make(&s->cell, err) || cell_add_tree(&s->cell, target->pid, err) ? -1 : 0;
}

static void leave_cell(void *context)
{
	struct source *s = context;
	_cleanup_error_ struct error failed = ERROR_INIT;

	/* COMMIT was not sent, and yet we may have died before we could say so: nobody else takes
	 * back what was to stay. */
	if (!s->hands_off && s->record.phase == RECORD_COMMITTING && s->cell.freezer.dir >= 0 &&
	    !s->report->runs_there && resolve_here(&s->record, &failed))
		log_notice("%s", failed.message);
	error_clear(&failed);
	if (!s->hands_off && cell_dissolve(&s->cell, &failed))
		log_notice("%s", failed.message);
	cell_release(&s->cell);
}

/* What came for the tree while it was on its way goes after it. */
static void send_packets(struct source *s, struct parting *parting)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	HeldPackets *packets;

	if (held_packets_take(parting->dump, &packets, &failed)) {
		log_notice("packets are lost: %s", failed.message);
		return;
	}
	if (link_send(&s->link, MESSAGE_PACKETS, &packets->base, &failed))
		log_info("packets are lost: %s", failed.message);
	held_packets__free_unpacked(packets, NULL);
}

/* From COMMIT on, only an answer decides. */
static int commit(struct source *s, struct parting *parting, struct error *err)
{
	MigrateCommit m = MIGRATE_COMMIT__INIT;
	ProtobufCMessage *answer;

	s->committed = parting->unknown = true;
	if (link_send(&s->link, MESSAGE_COMMIT, &m.base, err))
		return -1;
	s->committed_ns = now_ns();
	if (link_fault(&s->link, "migrate-committed", err) ||
	    link_expect(&s->link, MESSAGE_RUNNING, s->link.timeout_ms, &answer, err))
		return -1;
	s->running_ns = now_ns();
	s->pid = ((MigrateRunning *)answer)->pid;
	protobuf_c_message_free_unpacked(answer, NULL);
	if (link_fault(&s->link, "migrate-running", err))
		return -1;
	parting->unknown = false;
	send_packets(s, parting);
	return 0;
}

/* What decides later about the tree knows the cgroup of the record only. */
static int check_cell(const struct source *s, const struct parting *parting, struct error *err)
{
	struct stat waits, recorded;

	if (fstat(parting->dump->freezers.items[0].dir, &waits) ||
	    fstat(s->cell.freezer.dir, &recorded))
		return error_set(err, ERROR_FAILED, errno, "freezer cgroup");
	if (waits.st_dev == recorded.st_dev && waits.st_ino == recorded.st_ino)
		return 0;
	error_set(err, ERROR_FAILED, 0, "the tree waits in another freezer cgroup than was found");
	return error_hint(err, "try again");
}

/* Called once the image is sealed, with the tree frozen and nothing of us in it. */
static int offer(void *context, struct parting *parting, struct error *err)
{
	struct source *s = context;
	ProtobufCMessage *answer;

	s->sealed_ns = now_ns();
	network_lock_name(parting->dump->image_id, sizeof(parting->dump->image_id), s->record.lock);
	if (check_cell(s, parting, err) || link_fault(&s->link, "migrate-sealed", err) ||
	    link_expect(&s->link, MESSAGE_READY, READY_TIMEOUTS * s->link.timeout_ms, &answer, err))
		return -1;
	protobuf_c_message_free_unpacked(answer, NULL);
	s->ready_ns = now_ns();
	if (link_fault(&s->link, "migrate-ready", err) ||
	    record_write(&s->record, RECORD_COMMITTING, err) ||
	    link_fault(&s->link, "migrate-recorded", err) || parting_bind(parting, err) ||
	    link_fault(&s->link, "migrate-bound", err))
		return -1;
	return commit(s, parting, err);
}

/* The connection broke at the wrong moment: the answer comes over another one. */
static int ask(struct source *s, struct error *err)
{
	_cleanup_error_ struct error why = *err;
	char id[RECORD_ID_TEXT];
	enum resolved resolved;

	*err = ERROR_INIT;
	s->hands_off = true;
	link_close(&s->link);
	log_notice("%s; asking the destination what became of it", why.message);
	record_id_text(s->report->id, id);
	if (resolve_source(&s->record, &s->options->transport, s->options->where, RESOLVE_TRIES,
			   &resolved, err)) {
		error_wrap(err, "the destination may run the tree, so it stays frozen here");
		return error_hint(err, "criu-lite migrate --resolve %s", id);
	}
	if (resolved == RESOLVED_HERE) {
		*err = why;
		why = ERROR_INIT;
		return -1;
	}
	s->report->asked = true;
	return 0;
}

static void note_round(void *context, const struct precopy_progress *p)
{
	struct source *s = context;

	s->rounds = p->round + 1;
	if (s->options->round)
		s->options->round(p);
}

static int files_nearly(void *context, struct error *err)
{
	return rootfs_go_on(((struct source *)context)->copy, err);
}

static int files_held(void *context, const struct dump *d, struct error *err)
{
	return rootfs_end(((struct source *)context)->copy, d, err);
}

static int send_image(void *context, struct error *err)
{
	struct source *s = context;
	struct checkpoint_options o = checkpoint_options_of(s->options);
	MigrateImage m = MIGRATE_IMAGE__INIT;
	sigset_t before;
	int r;

	s->precopy = (struct precopy_options){
		.max_downtime_ms = s->options->max_downtime_ms,
		.max_rounds = s->options->max_rounds,
		.progress = note_round,
		.context = s,
	};
	o.precopy = s->options->stop_and_copy ? NULL : &s->precopy;
	if (s->options->rootfs == ROOTFS_SYNC) {
		o.nearly = files_nearly;
		o.held = files_held;
		o.held_context = s;
	}
	o.output = s->link.out;
	o.offer = offer;
	o.offer_context = s;
	if (link_fault(&s->link, "migrate-image", err) ||
	    link_send(&s->link, MESSAGE_IMAGE, &m.base, err))
		return -1;
	say(s, "sending the image");
	unstopped_begin(&before);
	r = checkpoint(&o, &s->report->checkpoint, err);
	if (r && s->committed)
		r = ask(s, err);
	unstopped_end(&before);
	if (r)
		return -1;
	s->report->runs_there = true;
	return 0;
}

/* Its runtime knows the container at its new place, and not here any more. While the record is
 * there, so that nobody takes the migration for settled before. */
static void forget(const struct source *s)
{
	const struct runtime_container *container = &s->options->target->container;
	_cleanup_error_ struct error trouble = ERROR_INIT;

	if (s->options->rootfs == ROOTFS_SYNC)
		rootfs_leave(&s->places, s->options->container);
	if (container->runtime && runtime_forget(container, &trouble))
		log_notice("%s", trouble.message);
}

static int settle(void *context, struct error *err)
{
	struct source *s = context;
	_cleanup_error_ struct error ignored = ERROR_INIT;
	MigrateDone m = MIGRATE_DONE__INIT;

	forget(s);
	if (s->report->asked)
		return 0;
	if (resolve_unlock(&s->record, &ignored)) {
		log_notice("%s", ignored.message);
		error_clear(&ignored);
	}
	if (record_remove(&s->record, &ignored) || link_send(&s->link, MESSAGE_DONE, &m.base,
							       &ignored))
		log_info("%s", ignored.message);
	return 0;
}

static const struct step steps[] = {
	{ "migrate-look", look, NULL },
	{ "migrate-connect", connect_there, NULL },
	{ "migrate-record", begin_record, end_record },
	{ "migrate-greet", greet, NULL },
	{ "migrate-verdict", ask_for_verdict, NULL },
	{ "migrate-files", bring_files, NULL },
	{ "migrate-cell", find_cell, leave_cell },
	{ "migrate-send", send_image, NULL },
	{ "migrate-settle", settle, NULL },
};

static void count(struct source *s)
{
	struct migrate_report *r = s->report;
	uint64_t frozen_ns = r->checkpoint.frozen_at_ns;

	r->pid = s->pid;
	r->rounds = s->rounds;
	r->total_ns = now_ns() - s->begun_ns;
	if (!s->running_ns)
		return;
	r->saving_ns = s->sealed_ns - frozen_ns;
	r->ready_ns = s->ready_ns - s->sealed_ns;
	r->commit_ns = s->committed_ns - s->ready_ns;
	r->running_ns = s->running_ns - s->committed_ns;
	r->downtime_ns = s->running_ns - frozen_ns;
}

int migrate(const struct migrate_options *options, struct migrate_report *report,
	    struct error *err)
{
	struct source *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rootfs_copy copy = { .root = -1 };
	int r;

	_Static_assert(ARRAY_SIZE(steps) <= MIGRATE_STEPS_MAX, "room for all times");
	*report = (struct migrate_report){ .steps = ARRAY_SIZE(steps) };
	if (s == MAP_FAILED)
		return error_set(err, ERROR_FAILED, errno, "migration");
	if (getrandom(report->id, ID_SIZE, 0) != ID_SIZE)
		return error_set(err, ERROR_FAILED, errno, "random bytes");
	*s = (struct source){ .options = options, .report = report, .begun_ns = now_ns() };
	s->state_directory = s->record.lock_fd = -1;
	s->copy = &copy;
	s->cell = CELL_NONE;
	link_init(&s->link, SIDE_SOURCE, -1, -1, 0);
	r = steps_run(steps, ARRAY_SIZE(steps), s, report->times, err);
	count(s);
	if (r) {
		link_explain(&s->link, err);
		link_abort(&s->link, err);
	} else {
		end_record(s);
		leave_cell(s);
	}
	link_release(&s->link);
	fd_close(&s->state_directory);
	pid_list_release(&s->tree);
	rootfs_copy_release(&copy);
	mounts_outside_release(&s->places);
	if (s->requirements)
		migrate_requirements__free_unpacked(s->requirements, NULL);
	munmap(s, sizeof(*s));
	return r;
}
