/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_TIMERS_H
#define CL_PROC_TIMERS_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/timers, proc(5), needs CONFIG_CHECKPOINT_RESTORE: the POSIX timers of a process
 * (timer_create(2)). Expiry and interval are not in it: timer_gettime(2) from inside.
 */

struct proc_timer {
	int id;			/* the kernel's id, as timer_settime(2) takes it */
	int signal;
	uint64_t value;		/* sigev_value, as a pointer */
	int notify;		/* SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD, | SIGEV_THREAD_ID */
	pid_t target;		/* process, or with SIGEV_THREAD_ID thread; reader's namespace */
	int clock_id;		/* CLOCK_*; negative: a process's or thread's CPU clock */
};

struct proc_timers {
	ARRAY_OF(struct proc_timer) items;
};

/* The caller releases *ret. */
int proc_parse_timers(const char *text, size_t size, struct proc_timers *ret, struct error *err);
int proc_read_timers(int pid_dir, struct proc_timers *ret, struct error *err);
void proc_timers_release(struct proc_timers *timers);
#define _cleanup_proc_timers_ __attribute__((cleanup(proc_timers_release)))

#endif
