/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_FOREGROUND_H
#define CL_CMD_FOREGROUND_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"

/*
 * Standing before the shell (or whoever has called us) for a program that we have restored: passing
 * signals on, stopping and ending as it does, and lending it our terminal.
 */
struct foreground {
	int terminal;			/* our controlling terminal, -1 when there is none */
	bool has_terminal;		/* it was ours to use when we began, */
	struct termios settings;	/* with these settings */
};

/* Before the restore: remembers the terminal, and with attend blocks the signals that will be
 * passed on, so that none is lost between the program's start and our wait. */
void foreground_begin(struct foreground *f, bool attend);
/* After a restore that has failed: the terminal is as it was. */
void foreground_give_up(struct foreground *f);
/* Stays with the root, which is our child, and returns the status with which to exit; a signal that
 * has ended it ends us, too. If relay is not -1 it is the master of the root's terminal, and all
 * that is typed and printed is passed on between that and ours. */
int foreground_attend(struct foreground *f, pid_t root, int relay, struct error *err);

#endif
