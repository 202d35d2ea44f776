/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/command.h"

static int run(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	_cleanup_fd_ int file = -1;
	const char *image;
	bool help, was;
	int count;

	if (options_parse(&unlock_command, rows, argc, argv, &image, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	file = open(image, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return error_set(err, ERROR_FAILED, errno, "%s", image);
	if (unlock(file, &was, err))
		return -1;
	printf("%s: %s\n", image, was ? "its connections are given up" : "nothing is locked");
	return 0;
}

const struct command unlock_command = {
	.name = "unlock",
	.arguments = "FILE",
	.summary = "gives up the connections of an image that will not be restored here",
	.run = run,
};
