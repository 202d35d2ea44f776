/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/arguments.h"
#include "cmd/command.h"
#include "cmd/report.h"

static int run(int argc, char **argv, struct error *err)
{
	const char *image;
	int jobs = default_jobs(), count;
	const struct option_row rows[] = {
		JOBS_ROW(&jobs),
		{ 0 },
	};
	struct verify_report report;
	_cleanup_fd_ int file = -1;
	bool help;

	if (options_parse(&verify_command, rows, argc, argv, &image, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	if (strcmp(image, "-")) {
		file = open(image, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return error_set(err, ERROR_FAILED, errno, "%s", image);
	}
	if (verify(file < 0 ? STDIN_FILENO : file, jobs, &report, err))
		return -1;
	printf("%s is whole: %u processes, %u threads\n", image, report.processes, report.threads);
	return 0;
}

const struct command verify_command = {
	.name = "verify",
	.arguments = "FILE [options]",
	.summary = "checks every checksum, reference and bound of an image; exit status 5 if damaged",
	.run = run,
};
