/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_TEXT_H
#define CL_PROC_TEXT_H

/*
 * What all parsers of proc(5) text share: reading a file of a process, going through it line by
 * line, complaining about a line, and keeping the names found.
 *
 * Every parser comes as a pair: proc_parse_X(text, size, …) is a pure function over bytes, and
 * proc_read_X(pid_dir, …) reads the file and parses it. pid_dir is an open /proc/PID or
 * /proc/PID/task/TID directory. Both fill *ret from scratch and leave nothing to release when
 * they fail. Errors:
 *   ERROR_DIED    the process is gone (a zombie counts as gone where the file needs more)
 *   ERROR_TARGET  the file cannot be read, .os_error says why (ENOENT: this kernel has no such
 *                 file, or the descriptor is closed)
 *   ERROR_FAILED  the text is not understood (file and line are named), or no memory
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"
#include "proc/scan.h"

/* An open /proc/PID, or /proc/PID/task/TID of one of its threads, O_PATH, which the caller closes;
 * -1 and errno, ENOENT when there is none. */
int proc_open(pid_t pid);
int proc_open_thread(pid_t pid, pid_t tid);
/* Reads `name` below pid_dir whole into *buf. */
int proc_read_text(int pid_dir, const char *name, struct buffer *buf, struct error *err);
/* Puts the path of pid_dir before the message of a parser. Returns -1. */
int proc_blame(int pid_dir, struct error *err);

struct proc_text {
	const char *file;		/* for messages */
	const char *at, *end;
	struct scan line;		/* the current line, whole, without its newline */
	unsigned line_number;		/* from 1 */
};

/* Starts at the top. Text that does not end in a newline was cut short and text with a NUL in it
 * was never written by the kernel: both are errors. Empty text is fine. */
int proc_text_open(struct proc_text *t, const char *file, const char *text, size_t size,
		   struct error *err);
/* The next line into *line (a copy of t->line to scan); false at the end. */
bool proc_text_next(struct proc_text *t, struct scan *line);
/* "file line N: what: "line"", control characters replaced. Returns -1. */
int proc_text_error(const struct proc_text *t, const char *what, struct error *err);

/* Strings that live and die together. Zero-initialise. Strings never move. */
struct string_arena {
	struct string_chunk *chunks;
};

/* Copies size bytes and a NUL; NULL without memory. */
char *string_arena_add(struct string_arena *arena, const char *text, size_t size);
void string_arena_release(struct string_arena *arena);

/* Undoes the kernel's octal escapes \ooo in place and returns the new length. When `only` is not
 * 0 just this byte was escaped (and a backslash itself was not, so that the text is ambiguous). */
size_t proc_unescape_octal(char *text, size_t size, char only);
/* Undoes \n and \\, the escapes of a command name, in place; returns the new length. */
size_t proc_unescape_comm(char *text, size_t size);

#endif
