/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/command.h"
#include "cmd/report.h"
#include "tracee/wait.h"

enum { JOBS_MAX = 64 };

struct arguments {
	bool detach, stats;
	const char *pidfile, *stdio, *image;
	int jobs;
};

static void parse_stdio(const char *text, struct restore_options *o)
{
	o->stdio = STDIO_INHERIT;
	if (!text || !strcmp(text, "inherit"))
		return;
	if (!strcmp(text, "null")) {
		o->stdio = STDIO_NULL;
		return;
	}
	o->stdio = STDIO_FILE;
	o->stdio_file = text;
}

/* Signals that a person or a service manager sends to us are meant for the program. */
static void forwarded_signals(sigset_t *set)
{
	static const int signals[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM,
				       SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };
	size_t i;

	sigemptyset(set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(set, signals[i]);
	sigaddset(set, SIGCHLD);
}

/* Whoever waits for us shall see what the program ended by; the core file is the program's. */
static void end_by(int number)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t only;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}

/* Stays with the root, which is our child, and ends as it does. */
static int attend(pid_t root, struct error *err)
{
	sigset_t set;
	int status;

	forwarded_signals(&set);
	for (;;) {
		int signal, ended = child_reap(root, &status, &signal);

		if (ended > 0 && signal)
			end_by(signal);
		if (ended > 0)
			return status;
		if (ended < 0 && errno != EINTR)
			return error_set(err, ERROR_FAILED, errno, "cannot wait for process %d", root);
		signal = sigwaitinfo(&set, NULL);
		if (signal > 0 && signal != SIGCHLD)
			kill(root, signal);
	}
}

static int restore_from(const struct arguments *a, struct restore_report *report, struct error *err)
{
	struct restore_options options = {
		.input = STDIN_FILENO,
		.pidfile = a->pidfile,
		.jobs = a->jobs ? a->jobs : default_jobs(),
	};
	_cleanup_fd_ int file = -1;

	parse_stdio(a->stdio, &options);
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
		{ "jobs", OPTION_NUMBER, "N", "worker threads (default: one for each processor)",
		  &a.jobs, 1, JOBS_MAX },
		{ "stats", OPTION_FLAG, NULL, "print the time of each step", &a.stats, 0, 0 },
		{ 0 },
	};
	struct restore_report report;
	sigset_t set, before;
	bool help;
	int count, r;

	if (options_parse(&restore_command, rows, argc, argv, &a.image, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	/* Blocked from here on, so that none is lost between the program's start and our wait. */
	forwarded_signals(&set);
	if (!a.detach)
		sigprocmask(SIG_BLOCK, &set, &before);
	r = restore_from(&a, &report, err);
	if (r)
		return -1;
	if (a.stats)
		report_restore(&report);
	return a.detach ? 0 : attend(report.root_pid, err);
}

const struct command restore_command = {
	.name = "restore",
	.arguments = "FILE [options]",
	.summary = "brings a saved tree back (- reads standard input); in the foreground it passes signals "
		   "on and ends as it does",
	.run = run,
};
