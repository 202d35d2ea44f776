/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/arguments.h"
#include "cmd/command.h"
#include "cmd/foreground.h"
#include "cmd/report.h"

struct arguments {
	bool detach, stats;
	const char *pidfile, *stdio, *image, *root;
	struct option_list externals;
	int jobs;
};

static int restore_from(const struct arguments *a, bool relay, struct restore_report *report,
			struct error *err)
{
	struct external externals[OPTION_LIST_MAX];
	struct restore_options options = {
		.input = STDIN_FILENO,
		.root = a->root,
		.externals = externals,
		.externals_count = a->externals.count,
		.pidfile = a->pidfile,
		.jobs = a->jobs ? a->jobs : default_jobs(),
		.detached = a->detach,
		.relay = relay,
	};
	_cleanup_fd_ int file = -1;

	if (arguments_externals(&a->externals, externals, err))
		return -1;
	arguments_stdio(a->stdio, &options.stdio, &options.stdio_file);
	if (strcmp(a->image, "-")) {
		file = open(a->image, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return error_set(err, ERROR_FAILED, errno, "%s", a->image);
		options.input = file;
	}
	return restore(&options, report, err);
}

static int run(int argc, char **argv, struct error *err)
{
	struct arguments a = { 0 };
	const struct option_row rows[] = {
		{ "detach", OPTION_FLAG, NULL, "return as soon as the program runs", &a.detach, 0, 0 },
		{ "pidfile", OPTION_TEXT, "FILE", "write the root process's id there", &a.pidfile, 0,
		  0 },
		{ "stdio", OPTION_TEXT, "WHERE",
		  "standard descriptors that led outside: inherit (default), null or a file",
		  &a.stdio, 0, 0 },
		{ "root", OPTION_TEXT, "DIRECTORY", "the root file system of a container, as it is here",
		  &a.root, 0, 0 },
		EXTERNAL_ROW(&a.externals),
		JOBS_ROW(&a.jobs),
		{ "stats", OPTION_FLAG, NULL, "print the time of each step", &a.stats, 0, 0 },
		{ 0 },
	};
	struct foreground foreground;
	struct restore_report report;
	bool help;
	int count;

	if (options_parse(&restore_command, rows, argc, argv, &a.image, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	foreground_begin(&foreground, !a.detach);
	if (restore_from(&a, !a.detach && foreground.has_terminal, &report, err)) {
		foreground_give_up(&foreground);
		return -1;
	}
	if (a.stats)
		report_restore(&report);
	return a.detach ? 0 : foreground_attend(&foreground, report.root_pid, report.relay, err);
}

const struct command restore_command = {
	.name = "restore",
	.arguments = "FILE [options]",
	.summary = "brings a saved tree back (- reads standard input); in the foreground it passes signals "
		   "on and ends as it does",
	.run = run,
};
