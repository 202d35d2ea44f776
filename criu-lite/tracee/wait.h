/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_WAIT_H
#define CL_TRACEE_WAIT_H

#include <sys/wait.h>

#include "tracee/tracee.h"

/* Options of wait4(2) for calls that a batch makes in a parent. */
enum {
	WAIT_FOR_END = __WALL,
	WAIT_IF_ENDED = __WALL | WNOHANG,
	WAIT_IF_STOPPED = __WALL | WNOHANG | WUNTRACED,
};

/* What a status of waitpid(2) for a tracee means. */
struct stop stop_decode(int status);
/* The status that belongs to what waitid(2) tells of a tracee. */
int stop_status(const siginfo_t *info);
/* "killed by signal 9", "stopped by signal 19", … for messages; a static or given buffer. */
const char *stop_text(const struct stop *stop, char *text, size_t size);

/* Reaps a process if it is our child, of whatever sort, and has ended. */
void child_forget(pid_t child);
/* Waits at most timeout_ms for our own child to end, and reaps it if it has. */
void child_await(pid_t child, int timeout_ms);
/* Reaps our own child if it has ended: 1 with its exit status, or with the signal that ended it in
 * *ret_signal (else 0); 2 when job control has stopped it, told once; 0 while it lives, -1 with
 * errno. Does not block. */
int child_reap(pid_t child, int *ret_status, int *ret_signal);

#endif
