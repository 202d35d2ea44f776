/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/arguments.h"
#include "cmd/command.h"
#include "cmd/report.h"
#include "steps/target.h"

struct arguments {
	struct target_name target;
	struct rounds_arguments rounds;
	int jobs;
	const char *output, *compress, *tcp;
	struct option_list externals;
	bool leave_running, leave_stopped, pre_copy, stats;
};

static int parse(struct arguments *a, const struct option_row *rows, int argc, char **argv,
		 struct checkpoint_options *o, bool *help, struct error *err)
{
	int count;

	if (options_parse(&checkpoint_command, rows, argc, argv, NULL, 0, &count, help, err))
		return -1;
	if (*help)
		return 0;
	if (!a->output)
		return error_set(err, ERROR_USAGE, 0, "where to? -o FILE is missing");
	if (a->leave_running && a->leave_stopped)
		return error_set(err, ERROR_USAGE, 0,
				 "--leave-running and --leave-stopped exclude each other");
	if (a->leave_running && a->pre_copy)
		return error_set(err, ERROR_USAGE, 0,
				 "--pre-copy is for a program that is ended or "
				 "stopped; --leave-running copies it at once");
	*o = (struct checkpoint_options){ .output = -1 };
	o->stream.jobs = a->jobs ? a->jobs : default_jobs();
	o->afterwards = a->leave_running ? AFTERWARDS_RUN :
			a->leave_stopped || !strcmp(a->output, "-") ? AFTERWARDS_STOP :
								      AFTERWARDS_KILL;
	return arguments_tcp(a->tcp, &o->tcp, err) ||
			       arguments_compress(a->compress, &o->stream, err)
		       ? -1
		       : 0;
}

/* The image grows under a name of its own and gets the wanted one when it is whole: whoever looks
 * there never finds half an image, and an older one stays until the new one is safe. Names are
 * those of a directory that is held open, since publish() may run where paths mean other files. */
struct output {
	const char *path;	/* NULL: standard output */
	char target[PATH_MAX];	/* where it leads */
	int dir_fd;
	const char *name;	/* in that directory */
	char part[NAME_MAX + 1]; /* its name until it is whole; empty if it is written in place */
	bool nameless;		/* it has not got that name yet */
	int fd;
};

static int open_directory_of(struct output *out, const char *path)
{
	char directory[PATH_MAX], *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory ? 1 : 0] = '\0';
	out->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	out->dir_fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->dir_fd;
}

static int output_open_file(struct output *out, const char *path, struct error *err)
{
	/* A link is followed: /dev/stdout is one. */
	if (realpath(path, out->target))
		out->path = path = out->target;
	if (open_directory_of(out, path) < 0)
		return error_set(err, ERROR_FAILED, errno, "%s", path);
	if (snprintf(out->part, sizeof(out->part), "%s.part", out->name) >=
	    (int)sizeof(out->part))
		return error_set(err, ERROR_USAGE, ENAMETOOLONG, "%s", path);
	/* A file without a name goes with us, however we end. Not every file system has them. */
	out->fd = openat(out->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	out->nameless = out->fd >= 0;
	if (!out->nameless)
		out->fd = openat(out->dir_fd, out->part,
				 O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return 0;
}

static int output_open(struct output *out, const char *path, struct error *err)
{
	struct stat st;

	*out = (struct output){ .path = path, .fd = STDOUT_FILENO, .dir_fd = -1 };
	if (!strcmp(path, "-")) {
		out->path = NULL;
		if (isatty(STDOUT_FILENO))
			return error_set(err, ERROR_USAGE, 0,
					 "-o -: standard output is a terminal");
		return 0;
	}
	/* Devices and pipes are written in place. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		out->fd = open(path, O_WRONLY | O_CLOEXEC);
	} else if (output_open_file(out, path, err)) {
		return -1;
	}
	if (out->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "%s", path);
	return 0;
}

static int rename_part(struct output *out)
{
	return renameat(out->dir_fd, out->part, out->dir_fd, out->name);
}

/* linkat() replaces nothing: only where a file is replaced is there another name for a moment. */
static int give_name(struct output *out)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", out->fd);
	if (!linkat(AT_FDCWD, link, out->dir_fd, out->name, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST || (unlinkat(out->dir_fd, out->part, 0) && errno != ENOENT) ||
	    linkat(AT_FDCWD, link, out->dir_fd, out->part, AT_SYMLINK_FOLLOW))
		return -1;
	out->nameless = false;
	return rename_part(out);
}

static int publish(void *context, struct error *err)
{
	struct output *out = context;

	if (!out->path || !out->part[0])
		return 0;
	if ((out->nameless ? give_name(out) : rename_part(out)) || fsync(out->dir_fd))
		return error_set(err, ERROR_FAILED, errno, "%s", out->path);
	out->part[0] = '\0';
	return 0;
}

/* What publish() has done elsewhere is not known here: a part that is there still is ours. */
static void output_close(struct output *out)
{
	if (out->part[0] && !out->nameless)
		unlinkat(out->dir_fd, out->part, 0);
	fd_close(&out->dir_fd);
	if (out->path)
		fd_close(&out->fd);
}

static int run(int argc, char **argv, struct error *err)
{
	struct arguments a = { .rounds = ROUNDS_ARGUMENTS_INIT };
	struct precopy_options precopy = { 0 };
	const struct option_row rows[] = {
		TARGET_ROWS(&a.target, "save"),
		{ "o", OPTION_TEXT, "FILE", "the image; - writes to standard output", &a.output, 0,
		  0 },
		{ "leave-running", OPTION_FLAG, NULL, "let the program go on afterwards",
		  &a.leave_running, 0, 0 },
		{ "leave-stopped", OPTION_FLAG, NULL,
		  "leave it stopped (SIGSTOP); the default with -o -", &a.leave_stopped, 0, 0 },
		{ "pre-copy", OPTION_FLAG, NULL,
		  "save memory while the program runs, and frozen only what it wrote to since",
		  &a.pre_copy, 0, 0 },
		ROUNDS_ROWS(&a.rounds),
		EXTERNAL_ROW(&a.externals),
		TCP_ROW(&a.tcp),
		COMPRESS_ROW(&a.compress),
		JOBS_ROW(&a.jobs),
		{ "stats", OPTION_FLAG, NULL, "print the time of each step, bytes and counts",
		  &a.stats, 0, 0 },
		{ 0 },
	};
	struct external externals[OPTION_LIST_MAX];
	struct checkpoint_options options;
	_cleanup_target_ struct target target = { 0 };
	struct checkpoint_report report;
	struct output out;
	bool help;
	int r;

	if (parse(&a, rows, argc, argv, &options, &help, err))
		return -1;
	if (help)
		return 0;
	if (arguments_externals(&a.externals, externals, err) ||
	    target_resolve(&target, &a.target, err) || output_open(&out, a.output, err))
		return -1;
	options.externals = externals;
	options.externals_count = a.externals.count;
	options.pid = target.pid;
	options.target = &target;
	options.output = out.fd;
	precopy.max_downtime_ms = a.rounds.max_downtime;
	precopy.max_rounds = a.rounds.max_rounds;
	options.precopy = a.pre_copy ? &precopy : NULL;
	options.publish = publish;
	options.publish_context = &out;
	r = checkpoint(&options, &report, err);
	output_close(&out);
	if (!r && a.stats)
		report_checkpoint(&report);
	return r;
}

const struct command checkpoint_command = {
	.name = "checkpoint",
	.arguments = "(-t PID | --cgroup PATH | --container RUNTIME:ID) -o FILE [options]",
	.summary = "saves a process tree; afterwards it is gone, unless you say otherwise",
	.run = run,
};
