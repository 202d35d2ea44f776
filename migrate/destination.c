/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/destination.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "images/migration.pb-c.h"
#include "migrate/hello.h"
#include "migrate/needs.h"
#include "migrate/pending.h"
#include "migrate/record.h"
#include "migrate/requirements.h"
#include "migrate/resolve.h"
#include "migrate/rootfs.h"
#include "steps/unstopped.h"
#include "steps/waiting.h"

enum {
	PATIENCE = 6,	/* times the timeout: for steps of the source's that take it work */
	CELL_NAME_SIZE = 32,
};

/* Shared with the process that stands in the tree's namespaces while it is built. */
struct destination {
	const struct receive_options *options;
	struct receive_report *report;
	struct link link;
	struct record_file record;
	char record_name[RECORD_NAME];
	int state_directory;
	struct record_ids before;	/* we said WELCOME */
	uint8_t name[ID_SIZE];
	char cell_name[CELL_NAME_SIZE];
	struct rootfs_target *target;	/* not shared: each process has what it has heard */
	size_t root_below;	/* where the source's part of the path begins */
	char root[PATH_MAX];	/* of the tree, here; empty: it has none of its own */
	uint64_t commit_ns;
	bool runs;
};

/* ---- what the restore calls ---- */

static int take_message(void *context, const uint8_t header[32], struct error *err)
{
	struct destination *d = context;
	ProtobufCMessage *message;
	enum message_kind kind;
	int r;

	if (link_take(&d->link, header, &kind, &message, err))
		return -1;
	r = kind == MESSAGE_LATE_FILES ?
		    rootfs_target_apply(d->target, (const MigrateFiles *)message, err) :
		    error_set(err, ERROR_PEER, 0, "the source sends %s within the image",
			      message_row(kind)->name);
	protobuf_c_message_free_unpacked(message, NULL);
	return r;
}

static int found_cell(void *context, const struct cell *cell, struct error *err)
{
	struct destination *d = context;

	return link_fault(&d->link, "receive-cell", err) ||
			       record_note_cell(&d->record, cell, err) ||
			       record_write(&d->record, RECORD_PREPARING, err) ?
		       -1 :
		       0;
}

/* The tree is complete and frozen: it is the source's turn. */
static int ready(void *context, struct error *err)
{
	struct destination *d = context;
	MigrateReady m = MIGRATE_READY__INIT;
	ProtobufCMessage *answer;

	if (rootfs_target_check(d->target, err) ||
	    link_fault(&d->link, "receive-complete", err) ||
	    link_send(&d->link, MESSAGE_READY, &m.base, err) ||
	    link_fault(&d->link, "receive-ready", err) ||
	    link_expect(&d->link, MESSAGE_COMMIT, PATIENCE * d->link.timeout_ms, &answer, err))
		return -1;
	protobuf_c_message_free_unpacked(answer, NULL);
	d->commit_ns = now_ns();
	return link_fault(&d->link, "receive-commit", err);
}

static int decide(void *context, struct error *err)
{
	struct destination *d = context;

	if (link_fault(&d->link, "receive-decide", err))
		return -1;
	d->record.pid = d->report->restore.root_pid;
	if (rootfs_target_keep(d->target, err))
		return -1;
	return record_write(&d->record, RECORD_COMMITTED, err);
}

static void where(void *context, struct guard_decision *ret)
{
	struct destination *d = context;

	record_file_name(&d->record, d->record_name);
	*ret = (struct guard_decision){
		.dir = d->record.directory_fd,
		.file = d->record_name,
		.word = RECORD_COMMITTED_WORD,
		.lock = d->record.lock_fd,
	};
}

static bool was_decided(void *context)
{
	struct destination *d = context;
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (record_refresh(&d->record, &failed))
		log_notice("%s", failed.message);
	return d->record.phase == RECORD_COMMITTED;
}

static void went(void *context)
{
	struct destination *d = context;
	_cleanup_error_ struct error ignored = ERROR_INIT;
	MigrateRunning m = MIGRATE_RUNNING__INIT;

	d->runs = true;
	m.pid = d->report->restore.root_pid;
	m.has_commit_ns = true;
	m.commit_ns = now_ns() - d->commit_ns;
	if (link_fault(&d->link, "receive-went", &ignored) ||
	    link_send(&d->link, MESSAGE_RUNNING, &m.base, &ignored) ||
	    link_fault(&d->link, "receive-running", &ignored))
		log_info("%s", ignored.message);
}

static int packets(void *context, HeldPackets **ret, struct error *err)
{
	struct destination *d = context;

	return link_expect(&d->link, MESSAGE_PACKETS, d->link.timeout_ms, (ProtobufCMessage **)ret,
			   err);
}

static int take_early(struct destination *d, enum message_kind kind,
		      const ProtobufCMessage *message, struct error *err)
{
	const struct receive_options *o = d->options;

	switch (kind) {
	case MESSAGE_SAMPLES:
		return rootfs_answer(&d->link, message, d->root[0] ? d->root : NULL, o->externals,
				     o->externals_count, err);
	case MESSAGE_ROOTFS:
		return rootfs_accept(d->target, &d->link, message, d->root, d->root_below, err);
	case MESSAGE_FILES:
		return rootfs_target_apply(d->target, (const MigrateFiles *)message, err);
	default:
		return 0;
	}
}

/* What the source wants to know, or brings, before the image. */
static int wait_for_image(struct destination *d, struct error *err)
{
	ProtobufCMessage *message;
	enum message_kind kind;
	int r;

	do {
		if (link_next(&d->link, PATIENCE * d->link.timeout_ms, &kind, &message, err))
			return -1;
		r = take_early(d, kind, message, err);
		protobuf_c_message_free_unpacked(message, NULL);
	} while (!r && kind != MESSAGE_IMAGE);
	return r;
}

static int restore_tree(struct destination *d, struct error *err)
{
	const struct stream_control control = { take_message, d };
	const struct waiting_room room = {
		.cell_name = d->cell_name,
		.found = found_cell,
		.decide = decide,
		.where = where,
		.was_decided = was_decided,
		.went = went,
		.packets = packets,
		.context = d,
	};
	const struct restore_options o = {
		.input = d->link.in,
		.jobs = d->options->jobs,
		.stdio = d->options->stdio,
		.stdio_file = d->options->stdio_file,
		.detached = true,
		.root = d->root[0] ? d->root : NULL,
		.externals = d->options->externals,
		.externals_count = d->options->externals_count,
		.ready = ready,
		.ready_context = d,
		.connection = &control,
		.waiting_room = &room,
	};

	return link_fault(&d->link, "receive-image", err) ||
			       restore(&o, &d->report->restore, err) ?
		       -1 :
		       0;
}

/* ---- the conversation ---- */

/* Where the root directory of the source is here: the first of --root-map that has it. */
static int find_root(struct destination *d, const MigrateRequirements *m,
		     struct blockers *blockers, struct error *err)
{
	const struct receive_options *o = d->options;
	const char *root = m->root, *to = NULL;
	size_t i;

	d->root[0] = '\0';
	if (!root)
		return 0;
	for (i = 0; i < o->root_maps_count && !to; i++) {
		const struct root_map *m = &o->root_maps[i];

		if (!strncmp(root, m->from, m->length) &&
		    (!root[m->length] || root[m->length] == '/')) {
			to = m->to;
			root += m->length;
		}
	}
	if (snprintf(d->root, sizeof(d->root), "%s%s", to ?: "", root) >= (int)sizeof(d->root))
		return error_set(err, ERROR_PEER, ENAMETOOLONG, "the root directory");
	d->root_below = to ? strlen(to) : 0;
	return m->root_comes ? 0 : requirements_check_root(d->root, blockers, err);
}

static int refuse(const struct blockers *blockers, struct error *err)
{
	const struct blocker *first = &blockers->list.items[0];
	char others[32] = "";

	if (blockers->list.count > 1)
		snprintf(others, sizeof(others), "; and %zu more", blockers->list.count - 1);
	error_set(err, ERROR_BLOCKED, 0, "the tree cannot run here: %s: %s%s", first->object,
		  first->reason, others);
	return first->remedy ? error_hint(err, "%s", first->remedy) : -1;
}

static int take_pending(struct destination *d, const MigratePending *m, struct error *err)
{
	return m ? pending_prune(d->state_directory, &d->before, m, err) : 0;
}

static int answer_requirements(struct destination *d, struct error *err)
{
	const struct needs_options needs = {
		.externals = d->options->externals,
		.externals_count = d->options->externals_count,
		.overcommit = d->options->overcommit,
	};
	struct blockers blockers = { 0 };
	const MigratePending *pending;
	ProtobufCMessage *message;
	MigrateVerdict *verdict;
	int r;

	if (link_expect(&d->link, MESSAGE_REQUIREMENTS, PATIENCE * d->link.timeout_ms, &message,
			err))
		return -1;
	pending = ((MigrateRequirements *)message)->pending;
	r = take_pending(d, pending, err) ||
			    requirements_check((MigrateRequirements *)message, &blockers, err) ||
			    needs_check((MigrateRequirements *)message, &needs, &blockers, err) ||
			    find_root(d, (MigrateRequirements *)message, &blockers, err) ?
		    -1 :
		    0;
	if (!r && pending)
		memcpy(d->record.source, pending->source.data, ID_SIZE);
	protobuf_c_message_free_unpacked(message, NULL);
	/* From our consent on, an id that nobody knows was given up. */
	if (!r && !blockers.list.count)
		r = record_write(&d->record, RECORD_PREPARING, err);
	verdict = r ? NULL : verdict_make(&blockers, err);
	if (!verdict || link_fault(&d->link, "receive-verdict", err) ||
	    link_send(&d->link, MESSAGE_VERDICT, &verdict->base, err))
		r = -1;
	else if (blockers.list.count)
		r = refuse(&blockers, err);
	if (verdict)
		migrate_verdict__free_unpacked(verdict, NULL);
	blockers_release(&blockers);
	return r;
}

static void settle(struct destination *d)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	ProtobufCMessage *message;

	if (link_expect(&d->link, MESSAGE_DONE, PATIENCE * d->link.timeout_ms, &message,
			&ignored)) {
		log_info("%s: the record stays", ignored.message);
		return;
	}
	protobuf_c_message_free_unpacked(message, NULL);
	if (record_remove(&d->record, &ignored))
		log_notice("%s", ignored.message);
}

static int receive(struct destination *d, struct error *err)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	char id[RECORD_ID_TEXT];
	int r;

	record_id_text(d->report->id, id);
	snprintf(d->cell_name, sizeof(d->cell_name), "criu-lite-%.12s-in", id);
	if (record_begin(&d->record, d->state_directory, SIDE_DESTINATION, d->report->id, err))
		return -1;
	r = answer_requirements(d, err) || wait_for_image(d, err) || restore_tree(d, err) ? -1 : 0;
	d->report->runs_here = d->runs;
	if (!r && d->runs) {
		settle(d);
		return 0;
	}
	/* A process of ours may have died in the middle: what the record says counts. */
	if (record_refresh(&d->record, &failed) ||
	    resolve_destination(&d->record, &d->report->runs_here, &failed))
		log_notice("%s", failed.message);
	return d->report->runs_here ? 0 : -1;
}

static int answer(struct destination *d, struct error *err)
{
	MigrateAnswer m = MIGRATE_ANSWER__INIT;
	ProtobufCMessage *message;
	const MigratePending *pending;
	bool runs = false, decides;
	int there, r;

	d->report->asked = true;
	if (link_expect(&d->link, MESSAGE_ASK, d->link.timeout_ms, &message, err))
		return -1;
	pending = ((MigrateAsk *)message)->pending;
	r = take_pending(d, pending, err);
	/* Who has no record of it asks out of curiosity. */
	decides = !r && (!pending || pending_names(pending, d->report->id));
	protobuf_c_message_free_unpacked(message, NULL);
	if (r)
		return -1;
	there = record_load(&d->record, d->state_directory, SIDE_DESTINATION, d->report->id,
			    d->link.timeout_ms, err);
	if (there < 0 && err->os_error == EWOULDBLOCK) {
		error_clear(err);
		m.outcome = MIGRATE_ANSWER__OUTCOME__UNDECIDED;
		return link_send(&d->link, MESSAGE_ANSWER, &m.base, err);
	}
	if (there < 0 || (there && decides && resolve_destination(&d->record, &runs, err)))
		return -1;
	runs |= there && d->record.phase == RECORD_COMMITTED;
	m.outcome = runs ? MIGRATE_ANSWER__OUTCOME__RUNNING : MIGRATE_ANSWER__OUTCOME__NEVER;
	m.has_pid = runs;
	m.pid = d->record.pid;
	if (link_send(&d->link, MESSAGE_ANSWER, &m.base, err))
		return -1;
	if (runs && decides)
		settle(d);
	return 0;
}

static int converse(struct destination *d, struct error *err)
{
	sigset_t before;
	bool asks;
	int r;

	d->state_directory = record_directory(d->options->state_directory, err);
	if (d->state_directory < 0 ||
	    record_own_name(d->state_directory, d->name, err) ||
	    record_list(d->state_directory, SIDE_DESTINATION, &d->before, err) ||
	    hello_hear(&d->link, d->name, d->report->id, &asks, err))
		return -1;
	unstopped_begin(&before);
	r = asks ? answer(d, err) : receive(d, err);
	unstopped_end(&before);
	return r;
}

int destination_serve(const struct receive_options *options, struct link *link,
		      struct receive_report *report, struct error *err)
{
	struct destination *d = mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rootfs_target target = ROOTFS_TARGET_NONE;
	int r;

	*report = (struct receive_report){ 0 };
	if (d == MAP_FAILED)
		return error_set(err, ERROR_FAILED, errno, "migration");
	*d = (struct destination){ .options = options, .report = report, .link = *link };
	d->state_directory = d->record.lock_fd = -1;
	d->target = &target;
	r = converse(d, err);
	if (r) {
		link_explain(&d->link, err);
		/* Who has not said HELLO gets no word. */
		if (d->link.received)
			link_abort(&d->link, err);
	}
	rootfs_target_release(d->target);
	record_release(&d->record);
	record_ids_release(&d->before);
	fd_close(&d->state_directory);
	*link = d->link;
	munmap(d, sizeof(*d));
	return r;
}
