/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CONTROLLING_TERMINAL_H
#define CL_KINDS_CONTROLLING_TERMINAL_H

#include "kinds/restore.h"

/*
 * Controlling terminals. A process has that of its session by birth alone, so a session's terminal
 * must be there before its leader has children.
 */

/* Gives the leader, which has just begun its session and has no children yet, its terminal. */
int controlling_terminal_begin(struct restore_task *leader, struct error *err);

#endif
