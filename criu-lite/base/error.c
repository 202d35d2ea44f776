/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *format(const char *fmt, va_list args)
{
	char *text;

	return vasprintf(&text, fmt, args) < 0 ? NULL : text;
}

int error_set(struct error *err, enum error_kind kind, int os_error, const char *fmt, ...)
{
	va_list args;

	if (err->kind != ERROR_NONE)
		return -1;
	va_start(args, fmt);
	err->message = format(fmt, args);
	va_end(args);
	err->kind = kind;
	err->os_error = os_error;
	if (os_error && err->message) {
		char *with_cause;

		if (asprintf(&with_cause, "%s: %s", err->message, strerror(os_error)) >= 0) {
			free(err->message);
			err->message = with_cause;
		}
	}
	return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	char *context, *joined;
	va_list args;

	va_start(args, fmt);
	context = format(fmt, args);
	va_end(args);
	if (context && asprintf(&joined, "%s: %s", context, err->message ? err->message : "") >= 0) {
		free(err->message);
		err->message = joined;
	}
	free(context);
	return -1;
}

int error_hint(struct error *err, const char *fmt, ...)
{
	va_list args;

	if (err->hint)
		return -1;
	va_start(args, fmt);
	err->hint = format(fmt, args);
	va_end(args);
	return -1;
}

void error_clear(struct error *err)
{
	free(err->message);
	free(err->hint);
	*err = ERROR_INIT;
}

int error_exit_status(const struct error *err)
{
	switch (err->kind) {
	case ERROR_NONE:
		return 0;
	case ERROR_USAGE:
		return 2;
	case ERROR_BLOCKED:
		return 3;
	case ERROR_TARGET:
	case ERROR_DIED:
		return 4;
	case ERROR_IMAGE:
		return 5;
	case ERROR_PEER:
		return 6;
	case ERROR_FAILED:
		break;
	}
	return 1;
}

void error_print(const struct error *err)
{
	fprintf(stderr, "criu-lite: %s\n", err->message ? err->message : "out of memory");
	if (err->hint)
		fprintf(stderr, "  hint: %s\n", err->hint);
}
