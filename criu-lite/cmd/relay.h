/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_RELAY_H
#define CL_CMD_RELAY_H

#include <signal.h>
#include <sys/types.h>

/*
 * Stands between our terminal and the one of a program: what is typed in ours goes to the master of
 * that, what it prints comes to ours, and so does the size. These signals, which are blocked, are
 * passed on to the root, our child, until it has ended: 1, with its exit status or signal as
 * child_reap() tells. -1 with errno. Closes the master.
 */
int relay_attend(int terminal, int master, pid_t root, const sigset_t *signals, int *ret_status,
		 int *ret_signal);

#endif
