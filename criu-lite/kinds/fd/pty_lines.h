/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FD_PTY_LINES_H
#define CL_KINDS_FD_PTY_LINES_H

#include <asm/termbits.h>

#include "base/io.h"
#include "tracee/batch.h"

/*
 * Complete lines that wait in a terminal in canonical mode, read and written back within one batch
 * (pty_queue.c), each with the end that it had: a line end that is among its bytes, or an
 * end-of-file character, of which the reader sees nothing but that the line has ended.
 *
 * A batch has no conditions, so the ends are found out by the kernel: a line alone in the terminal
 * can be read, says poll(2), or cannot yet. From that 1 or 0 a read from a table of two bytes makes
 * the length of the write that gives the end-of-file character, 0 or 1.
 */
enum {
	LINES_MAX = 32,
	LINE_ROOM = 4096,
};

struct pty_lines {
	int peer, master;	/* record that has opened the slave; number of the master */
	int peer_number;	/* that the slave gets */
	char eof;		/* what is VEOF while they are put back */
	/* records */
	int read[LINES_MAX], shown[LINES_MAX], written[LINES_MAX], ended[LINES_MAX];
	int ones, ends;		/* tables */
	uint64_t data;
};

/* The slave is in canonical mode: takes the lines out. */
void pty_lines_read(struct pty_lines *l, struct batch *b);
/* The slave's input is empty and VEOF is l->eof: puts them back. */
void pty_lines_write(struct pty_lines *l, struct batch *b);
/* Afterwards: appends the lines to *ret, with a NUL for each end-of-file character. 0; 1 if they
 * are not back as they were; -1 without memory. */
int pty_lines_collect(const struct pty_lines *l, const struct batch *b, struct buffer *ret);

#endif
