/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/arguments.h"
#include "cmd/command.h"
#include "cmd/report.h"
#include "cmd/transport_rows.h"
#include "migrate/record.h"
#include "migrate/resolve.h"
#include "migrate/source.h"
#include "steps/target.h"

enum { NS_PER_US = 1000, PAGE_KIB = 4 };

struct arguments {
	struct target_name target;
	struct transport_arguments transport;
	const char *where, *state_directory, *compress, *resolve, *force_resume, *tcp, *rootfs;
	struct option_list externals;
	struct rounds_arguments rounds;
	int jobs;
	bool json, stats, stop_and_copy;
};

/* ---- telling ---- */

static double ms(uint64_t ns)
{
	return (double)ns / NS_PER_US / 1000;
}

static void show_progress(const char *what)
{
	fprintf(stderr, "criu-lite: %s\n", what);
}

static void show_round(const struct precopy_progress *p)
{
	fprintf(stderr,
		"criu-lite: round %u: %" PRIu64 " KiB, %" PRIu64 " KiB written to since (%" PRIu64
		" KiB/s), %.1f MiB/s, expected downtime %.0f ms\n",
		p->round, p->pages * PAGE_KIB, p->dirty_pages * PAGE_KIB,
		p->dirty_per_second * PAGE_KIB, (double)p->bytes_per_second / (1 << 20),
		ms(p->expected_ns));
}

static void print_report(const struct migrate_report *r)
{
	const struct checkpoint_report *c = &r->checkpoint;

	printf("%zu processes run there%s\n", c->processes,
	       r->asked ? " (asked after the connection had broken)" : "");
	printf("  %-10s %9" PRIu64 " bytes of state, %" PRIu64 " sent\n", "image", c->bytes_in,
	       c->bytes_out);
	printf("  %-10s %9u\n", "rounds", r->rounds);
	printf("  %-10s %9.3f ms\n", "total", ms(r->total_ns));
	if (r->asked)
		return;
	printf("  %-10s %9.3f ms: %.3f saving, %.3f until ready, %.3f committing, %.3f until "
	       "running\n",
	       "downtime", ms(r->downtime_ns), ms(r->saving_ns), ms(r->ready_ns), ms(r->commit_ns),
	       ms(r->running_ns));
}

static json_t *json_times(const struct step_time *times, size_t count)
{
	json_t *all = json_object();
	size_t i;

	for (i = 0; i < count && times[i].name; i++)
		json_object_set_new(all, times[i].name, json_integer(times[i].ns));
	return all;
}

static void print_json(const struct migrate_report *r, const struct error *failed)
{
	const struct checkpoint_report *c = &r->checkpoint;
	char id[RECORD_ID_TEXT];
	json_t *all;

	record_id_text(r->id, id);
	all = json_pack(
		"{s:s, s:b, s:b, s:i, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "id",
		id, "runs_there", r->runs_there, "asked", r->asked, "rounds", r->rounds,
		"processes", (json_int_t)c->processes, "threads", (json_int_t)c->threads,
		"state_bytes", (json_int_t)c->bytes_in, "sent_bytes", (json_int_t)c->bytes_out,
		"total_ns", (json_int_t)r->total_ns, "downtime_ns", "all",
		(json_int_t)r->downtime_ns, "saving", (json_int_t)r->saving_ns, "ready",
		(json_int_t)r->ready_ns, "commit", (json_int_t)r->commit_ns, "running",
		(json_int_t)r->running_ns);
	if (!all)
		return;
	json_object_set_new(all, "steps_ns", json_times(r->times, r->steps));
	json_object_set_new(all, "checkpoint_ns", json_times(c->times, c->steps));
	if (failed)
		json_object_set_new(all, "error", json_string(failed->message ?: ""));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* ---- doing ---- */

static int parse_rootfs(const char *text, enum rootfs_policy *ret, struct error *err)
{
	*ret = ROOTFS_SHARED;
	if (!text || !strcmp(text, "shared"))
		return 0;
	*ret = ROOTFS_SYNC;
	if (!strcmp(text, "sync"))
		return 0;
	return error_set(err, ERROR_USAGE, 0, "--rootfs %s: wants shared or sync", text);
}

static int move_tree(const struct arguments *a, struct error *err)
{
	_cleanup_target_ struct target target = { 0 };
	struct external externals[OPTION_LIST_MAX];
	struct migrate_options o = {
		.target = &target,
		.where = a->where,
		.state_directory = a->state_directory,
		.stream.jobs = a->jobs ? a->jobs : default_jobs(),
		.container = a->target.container,
		.externals = externals,
		.externals_count = a->externals.count,
		.stop_and_copy = a->stop_and_copy,
		.max_downtime_ms = a->rounds.max_downtime,
		.max_rounds = a->rounds.max_rounds,
		.progress = isatty(STDERR_FILENO) ? show_progress : NULL,
		.round = isatty(STDERR_FILENO) ? show_round : NULL,
	};
	struct migrate_report report;
	int r;

	transport_arguments_take(&a->transport, &o.transport);
	if (arguments_compress(a->compress, &o.stream, err) || arguments_tcp(a->tcp, &o.tcp, err) ||
	    parse_rootfs(a->rootfs, &o.rootfs, err) ||
	    arguments_externals(&a->externals, externals, err) ||
	    transport_check(&o.transport, err) || target_resolve(&target, &a->target, err))
		return -1;
	r = migrate(&o, &report, err);
	if (a->json)
		print_json(&report, r ? err : NULL);
	else if (!r)
		print_report(&report);
	if (a->stats)
		report_checkpoint(&report.checkpoint);
	return r;
}

/* 1; 0 when there is no such record. */
static int load(const struct arguments *a, const char *id_text, uint8_t ret_id[ID_SIZE],
		int *ret_directory, struct record_file *ret, struct error *err)
{
	if (record_parse_id(id_text, ret_id, err))
		return -1;
	*ret_directory = record_directory(a->state_directory, err);
	if (*ret_directory < 0)
		return -1;
	return record_load(ret, *ret_directory, SIDE_SOURCE, ret_id, 0, err);
}

/* The destination may not know that. */
static int tell_settled(const struct arguments *a, const struct transport_options *transport,
			int directory, const uint8_t id[ID_SIZE], struct error *err)
{
	if (a->force_resume || (!a->where && !transport->via))
		return error_set(err, ERROR_USAGE, 0, "there is no migration %s to resolve here",
				 a->resolve ?: a->force_resume);
	if (resolve_settled(directory, id, transport, a->where, err))
		return -1;
	printf("it is settled here, and there\n");
	return 0;
}

static int resolve(const struct arguments *a, struct error *err)
{
	struct record_file record = { .lock_fd = -1 };
	enum resolved resolved = RESOLVED_HERE;
	struct transport_options transport;
	_cleanup_fd_ int directory = -1;
	uint8_t id[ID_SIZE];
	const char *where;
	int r;

	transport_arguments_take(&a->transport, &transport);
	r = transport_check(&transport, err) ? -1 :
					       load(a, a->resolve ?: a->force_resume, id,
						    &directory, &record, err);
	if (r <= 0) {
		record_release(&record);
		return r < 0 ? -1 : tell_settled(a, &transport, directory, id, err);
	}
	where = a->where ? a->where : *record.peer ? record.peer : NULL;
	r = a->force_resume ? resolve_here(&record, err) :
			      resolve_source(&record, &transport, where, RESOLVE_TRIES, &resolved,
					     err);
	if (r)
		error_hint(err, "it stays frozen; ask again, or criu-lite migrate --force-resume "
				"if the destination has not got it");
	else
		printf("it runs %s\n", resolved == RESOLVED_HERE ? "here" : "there");
	record_release(&record);
	return r;
}

static int check(const struct arguments *a, int operands, struct error *err)
{
	bool target = a->target.pid || a->target.cgroup || a->target.container;

	if (a->resolve && a->force_resume)
		return error_set(err, ERROR_USAGE, 0,
				 "--resolve and --force-resume exclude each other");
	if (a->resolve || a->force_resume)
		return target ? error_set(err, ERROR_USAGE, 0,
					  "--resolve and --force-resume know the target by its id")
			      : 0;
	if (!operands && !a->transport.via)
		return error_set(err, ERROR_USAGE, 0, "where to? HOST:PORT is missing");
	return 0;
}

static int run(int argc, char **argv, struct error *err)
{
	struct arguments a = {
		.transport = TRANSPORT_ARGUMENTS_INIT,
		.rounds = ROUNDS_ARGUMENTS_INIT,
	};
	const struct option_row rows[] = {
		TARGET_ROWS(&a.target, "move"),
		TRANSPORT_ROWS(&a.transport),
		{ "via", OPTION_TEXT, "COMMAND",
		  "connect by this command: ssh HOST criu-lite receive --stdio", &a.transport.via,
		  0, 0 },
		ROUNDS_ROWS(&a.rounds),
		{ "stop-and-copy", OPTION_FLAG, NULL, "no rounds: freeze at once", &a.stop_and_copy,
		  0, 0 },
		EXTERNAL_ROW(&a.externals),
		{ "rootfs", OPTION_TEXT, "POLICY",
		  "the container's root file system: shared (default) or sync, which copies it",
		  &a.rootfs, 0, 0 },
		TCP_ROW(&a.tcp),
		COMPRESS_ROW(&a.compress),
		JOBS_ROW(&a.jobs),
		{ "state-dir", OPTION_TEXT, "DIR",
		  "where migrations are recorded (" RECORD_DIRECTORY ")", &a.state_directory, 0,
		  0 },
		{ "resolve", OPTION_TEXT, "ID",
		  "finish a migration that broke at the wrong moment: asks the destination",
		  &a.resolve, 0, 0 },
		{ "force-resume", OPTION_TEXT, "ID",
		  "let it run here, on your word that it does not run there", &a.force_resume, 0,
		  0 },
		{ "json", OPTION_FLAG, NULL, "a report for machines", &a.json, 0, 0 },
		{ "stats", OPTION_FLAG, NULL, "print the time of each step, too", &a.stats, 0, 0 },
		{ 0 },
	};
	bool help;
	int count;

	if (options_parse(&migrate_command, rows, argc, argv, &a.where, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (check(&a, count, err))
		return -1;
	return a.resolve || a.force_resume ? resolve(&a, err) : move_tree(&a, err);
}

const struct command migrate_command = {
	.name = "migrate",
	.arguments = "(-t PID | --cgroup PATH | --container RUNTIME:ID) HOST:PORT [options]",
	.summary = "moves a process tree to a machine where criu-lite receive runs",
	.run = run,
};
