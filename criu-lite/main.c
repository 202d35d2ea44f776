/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/array.h"
#include "base/log.h"
#include "cmd/command.h"

static const struct command *const commands[] = {
	&checkpoint_command,
	&restore_command,
	&migrate_command,
	&receive_command,
	&verify_command,
	&inspect_command,
	&check_command,
	&unlock_command,
};

static void print_usage(FILE *out)
{
	size_t i;

	fprintf(out, "usage: criu-lite [-v | -vv] COMMAND …\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\ncriu-lite COMMAND --help tells the options of a command.\n");
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* We hold several descriptors for each task of a tree, and every one that the tree itself has. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What we open must not become a standard descriptor that the caller has closed: messages would be
 * written into an image. Its place is taken by one that can neither be read nor written. */
static int fill_standard_descriptors(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH) < 0)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = { 0 };
	const struct command *command;
	int first = 1, status;

	/* A reader that goes away and a full quota are errors of write(2), not our death. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Ignored by the caller, it would keep us from learning how a child ended. */
	signal(SIGCHLD, SIG_DFL);
	if (fill_standard_descriptors())
		return 1;
	raise_descriptor_limit();
	for (; first < argc && (!strcmp(argv[first], "-v") || !strcmp(argv[first], "-vv")); first++)
		log_set_level(argv[first][2] ? LOG_DEBUG : LOG_INFO);
	if (first < argc && (!strcmp(argv[first], "help") || !strcmp(argv[first], "--help"))) {
		command = first + 1 < argc ? find_command(argv[first + 1]) : NULL;
		if (command)
			return command->run(2, (char *[]){ argv[first + 1], "--help", NULL }, &err);
		print_usage(stdout);
		return 0;
	}
	command = first < argc ? find_command(argv[first]) : NULL;
	if (!command) {
		if (first < argc)
			fprintf(stderr, "criu-lite: unknown command %s\n", argv[first]);
		print_usage(stderr);
		error_set(&err, ERROR_USAGE, 0, "usage");
		return error_exit_status(&err);
	}
	status = command->run(argc - first, argv + first, &err);
	if (status >= 0)
		return status;
	error_print(&err);
	return error_exit_status(&err);
}
