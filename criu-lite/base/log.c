/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static enum log_level current_level = LOG_QUIET;

void log_set_level(enum log_level level)
{
	current_level = level;
}

enum log_level log_level(void)
{
	return current_level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	struct timespec now;
	char text[1024];
	va_list args;

	if (level > current_level)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (level == LOG_QUIET) {
		fprintf(stderr, "criu-lite: note: %s\n", text);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	fprintf(stderr, "[%6ld.%06ld] %s\n", (long)now.tv_sec, now.tv_nsec / 1000, text);
}
