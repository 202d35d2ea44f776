/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_BASE_ERROR_H
#define CL_BASE_ERROR_H

/*
 * One error, made where the fault is, wrapped on the way up, printed once by cmd/.
 *
 * Every function that can fail takes `struct error *err` last and returns 0 or -1; on success
 * it leaves *err untouched. All makers return -1, so a failing function ends in
 *
 *     return error_set(err, ERROR_TARGET, errno, "pid %d: cannot read %s", pid, path);
 *
 * The message names the object first, then what failed; the errno text is appended by the maker.
 * A hint says what the user can do about it. A caller adds context with error_wrap().
 */

/* The kind decides the exit code of the program (docs/criu-lite.1, EXIT STATUS). */
enum error_kind {
	ERROR_NONE = 0,
	ERROR_FAILED, /* 1: anything else: our own resources, output file, kernel refusal */
	ERROR_USAGE, /* 2: command line */
	ERROR_BLOCKED, /* 3: preflight found something unsupported; nothing was touched */
	ERROR_TARGET, /* 4: the target failed or could not be held */
	ERROR_DIED, /* 4: a task of the target is gone: its own outcome, callers may test for it */
	ERROR_IMAGE, /* 5: damaged, truncated, forged or unsupported image */
	ERROR_PEER, /* 6: the other side of a migration */
};

struct error {
	enum error_kind kind;
	int os_error;	/* errno value or 0 */
	char *message;	/* owned */
	char *hint;	/* owned, may be NULL */
};

/* Makes the error; os_error 0 means no errno text. An error already set is kept (the first fault
 * is the cause). Returns -1. */
int error_set(struct error *err, enum error_kind kind, int os_error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Puts "context: " before the message. Returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets the remedy unless one is there. Returns -1. */
int error_hint(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Frees the strings and makes *err empty again; NULL-safe and repeatable. */
void error_clear(struct error *err);
/* The process exit status for *err: 0 when it is empty. */
int error_exit_status(const struct error *err);
/* Prints "criu-lite: message" and the hint to standard error. Only cmd/ and the guard print. */
void error_print(const struct error *err);

#define _cleanup_error_ __attribute__((cleanup(error_clear)))
#define ERROR_INIT ((struct error){ 0 })

#endif
