/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_UNSTOPPED_H
#define CL_STEPS_UNSTOPPED_H

#include <signal.h>

/*
 * Who holds a tree must not be stopped from the terminal (SIGTSTP, SIGTTIN, SIGTTOU; signal(7)):
 * the tree would stand still as long. Such a signal takes effect when it is over. Threads and
 * children that are made meanwhile inherit that, sigprocmask(2). May be nested; ret_before may be
 * NULL.
 */
void unstopped_begin(sigset_t *ret_before);
void unstopped_end(const sigset_t *before);

#endif
