/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_SYSCALL_H
#define CL_PROC_SYSCALL_H

#include <stdint.h>

#include "proc/text.h"

/*
 * /proc/PID/task/TID/syscall, proc(5): the system call that a thread sleeps in, without stopping
 * it. A thread that cannot be stopped for long (vfork, a dead network file system) shows here.
 */

enum proc_syscall_state {
	PROC_SYSCALL_RUNNING,	/* on a processor: nothing is known */
	PROC_SYSCALL_NONE,	/* sleeps outside of a call (a fault, a signal stop): sp and pc */
	PROC_SYSCALL_BLOCKED,	/* sleeps in a call: everything */
};

struct proc_syscall {
	enum proc_syscall_state state;
	int number;		/* of the task's own call table: a 32-bit task has another */
	uint64_t args[6];
	uint64_t sp, pc;
};

/* The pair of functions follows text.h; reading needs PTRACE_MODE_ATTACH. */
int proc_parse_syscall(const char *text, size_t size, struct proc_syscall *ret,
		       struct error *err);
int proc_read_syscall(int pid_dir, struct proc_syscall *ret, struct error *err);

#endif
