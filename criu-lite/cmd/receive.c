/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
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
#include "migrate/server.h"

enum { CONNECTIONS = 16, CONNECTIONS_MAX = 1024 };

struct arguments {
	const char *listen, *state_directory, *stdio, *resolve;
	struct transport_arguments transport;
	struct option_list root_maps, externals;
	int jobs, connections;
	bool once, on_stdio, overcommit, stats;
};

static void say_where(void *context, const char *where)
{
	printf("listening on %s\n", where);
	fflush(stdout);
}

/* In the process of a connection; standard output may be the connection. */
static int say_outcome(void *context, const struct receive_report *report, const char *peer,
		       const struct error *failed)
{
	const struct arguments *a = context;
	char id[RECORD_ID_TEXT];

	record_id_text(report->id, id);
	if (failed && report->runs_here)
		log_notice("migration %s: %s", id, failed->message);
	if (failed && !report->runs_here) {
		fprintf(stderr, "criu-lite: from %s: %s%s%s%s\n", peer ?: "?", failed->message,
			failed->hint ? " (" : "", failed->hint ?: "", failed->hint ? ")" : "");
		return error_exit_status(failed);
	}
	if (report->asked)
		return 0;
	fprintf(stderr, "criu-lite: from %s: migration %s: process %d runs here\n", peer ?: "?", id,
		report->restore.root_pid);
	if (a->stats)
		report_restore(&report->restore);
	return 0;
}

static int parse_root_maps(const struct option_list *list, struct root_map *ret, struct error *err)
{
	int i;

	for (i = 0; i < list->count; i++) {
		const char *equals = strchr(list->items[i], '=');

		if (!equals || list->items[i][0] != '/' || equals[1] != '/')
			return error_set(err, ERROR_USAGE, 0,
					 "--root-map %s: wants /FROM=/TO, both absolute",
					 list->items[i]);
		ret[i] = (struct root_map){ list->items[i], equals - list->items[i], equals + 1 };
	}
	return 0;
}

static int resolve(const struct arguments *a, struct error *err)
{
	_cleanup_fd_ int directory = -1;
	struct record_file record;
	uint8_t id[ID_SIZE];
	bool runs = false;
	int there;

	if (record_parse_id(a->resolve, id, err))
		return -1;
	directory = record_directory(a->state_directory, err);
	if (directory < 0)
		return -1;
	there = record_load(&record, directory, SIDE_DESTINATION, id, 0, err);
	if (there > 0)
		there = resolve_destination(&record, &runs, err);
	record_release(&record);
	if (there < 0)
		return -1;
	printf(runs ? "it runs here\n" : "it does not run here, and will not\n");
	return 0;
}

/* What we and the program print must not become part of the conversation. */
static int serve_stdio(const struct server_options *o, struct error *err)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_fd_ int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (in < 0 || out < 0 || nowhere < 0 || dup2(nowhere, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return error_set(err, ERROR_FAILED, errno, "--stdio");
	return server_serve_stdio(o, in, out, err);
}

static int check(const struct arguments *a, struct error *err)
{
	if (!!a->listen + a->on_stdio + !!a->resolve != 1)
		return error_set(err, ERROR_USAGE, 0,
				 "wants one of --listen ADDR:PORT, --stdio and --resolve ID");
	return 0;
}

static int serve(struct arguments *a, struct error *err)
{
	struct root_map maps[OPTION_LIST_MAX];
	struct external externals[OPTION_LIST_MAX];
	struct server_options o = {
		.listen = a->listen,
		.once = a->once,
		.connections_max = a->connections,
		.receive = {
			.state_directory = a->state_directory,
			.jobs = a->jobs ? a->jobs : default_jobs(),
			.root_maps = maps,
			.root_maps_count = a->root_maps.count,
			.externals = externals,
			.externals_count = a->externals.count,
			.overcommit = a->overcommit,
		},
		.listens = say_where,
		.served = say_outcome,
		.context = a,
	};

	transport_arguments_take(&a->transport, &o.transport);
	if (!a->stdio && a->on_stdio)
		a->stdio = "null";
	arguments_stdio(a->stdio, &o.receive.stdio, &o.receive.stdio_file);
	if (parse_root_maps(&a->root_maps, maps, err) ||
	    arguments_externals(&a->externals, externals, err))
		return -1;
	return a->on_stdio ? serve_stdio(&o, err) : server_run(&o, err);
}

static int run(int argc, char **argv, struct error *err)
{
	struct arguments a = { .connections = CONNECTIONS, .transport = TRANSPORT_ARGUMENTS_INIT };
	const struct option_row rows[] = {
		{ "listen", OPTION_TEXT, "ADDR:PORT",
		  "wait for sources there; without authentication on loopback only", &a.listen, 0, 0 },
		{ "stdio", OPTION_FLAG, NULL,
		  "serve the one source on standard input and output (migrate --via)", &a.on_stdio, 0,
		  0 },
		{ "once", OPTION_FLAG, NULL, "end after the first migration, as it did", &a.once, 0,
		  0 },
		{ "root-map", OPTION_LIST, "FROM=TO",
		  "a root directory of the source that is elsewhere here", &a.root_maps, 0, 0 },
		EXTERNAL_ROW(&a.externals),
		{ "overcommit", OPTION_FLAG, NULL,
		  "take trees, too, that need more memory than is available", &a.overcommit, 0, 0 },
		TRANSPORT_ROWS(&a.transport),
		{ "connections", OPTION_NUMBER, "N", "at most so many at a time (16)",
		  &a.connections, 1, CONNECTIONS_MAX },
		{ "program-stdio", OPTION_TEXT, "WHERE",
		  "standard descriptors that led outside: inherit, null or a file", &a.stdio, 0, 0 },
		JOBS_ROW(&a.jobs),
		{ "state-dir", OPTION_TEXT, "DIR",
		  "where migrations are recorded (" RECORD_DIRECTORY ")", &a.state_directory, 0, 0 },
		{ "resolve", OPTION_TEXT, "ID",
		  "decide a migration that broke at the wrong moment, without its source", &a.resolve,
		  0, 0 },
		{ "stats", OPTION_FLAG, NULL, "print the time of each step", &a.stats, 0, 0 },
		{ 0 },
	};
	bool help;
	int count;

	if (options_parse(&receive_command, rows, argc, argv, NULL, 0, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (check(&a, err))
		return -1;
	return a.resolve ? resolve(&a, err) : serve(&a, err);
}

const struct command receive_command = {
	.name = "receive",
	.arguments = "(--listen ADDR:PORT | --stdio) [options]",
	.summary = "waits for process trees that criu-lite migrate moves here",
	.run = run,
};
