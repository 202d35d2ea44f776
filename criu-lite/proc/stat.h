/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_STAT_H
#define CL_PROC_STAT_H

#include <stdint.h>
#include <sys/types.h>

#include "proc/text.h"

/*
 * /proc/PID/stat, proc(5): one line with 52 numbered fields. All ids are those of the pid
 * namespace of the proc mount. The command name stands between the first "(" and the last ")"
 * and may itself hold spaces, parentheses and (escaped) newlines.
 *
 * Addresses (start_code … env_end, start_stack), wchan and exit_code read 0 or 1 unless the
 * reader may ptrace the process (PTRACE_MODE_READ | NOAUDIT).
 */

enum {
	PROC_COMM_SIZE = 64,		/* 15 bytes for a program, more for kernel workers */

	/* .flags (PF_* of the kernel's sched.h) that say something to user space */
	PROC_FLAG_EXITING = 0x4,
	PROC_FLAG_FORKED_NO_EXEC = 0x40,
	PROC_FLAG_KTHREAD = 0x200000,
};

struct proc_stat {
	pid_t pid;			/* 1 */
	char comm[PROC_COMM_SIZE];	/* 2, unescaped, NUL-terminated */
	char state;			/* 3, R S D T t Z X I … */
	pid_t ppid, pgrp, session;	/* 4-6, 0 when outside the reader's pid namespace */
	int32_t tty_nr;			/* 7, controlling terminal as a device number, 0 none */
	int32_t tty_pgrp;		/* 8, its foreground group, -1 none */
	uint32_t flags;			/* 9 */
	uint64_t minor_faults, child_minor_faults, major_faults, child_major_faults; /* 10-13 */
	uint64_t user_time, system_time;		/* 14-15, clock ticks (_SC_CLK_TCK) */
	int64_t child_user_time, child_system_time;	/* 16-17, clock ticks */
	int64_t priority, nice, num_threads, it_real_value;	/* 18-21, the last is always 0 */
	uint64_t start_time;		/* 22, clock ticks after boot; tells reused pids apart */
	uint64_t vsize;			/* 23, bytes */
	int64_t rss;			/* 24, pages */
	uint64_t rss_limit;		/* 25, bytes */
	uint64_t start_code, end_code, start_stack;	/* 26-28 */
	uint64_t esp, eip;		/* 29-30, 0 unless exiting */
	uint64_t pending, blocked, ignored, caught;	/* 31-34, first 31 signals; see status */
	uint64_t wchan, pages_swapped, child_pages_swapped;	/* 35-37 */
	int32_t exit_signal;		/* 38, sent to the parent; -1 for a thread */
	int32_t processor;		/* 39 */
	uint32_t rt_priority, policy;	/* 40-41, SCHED_* */
	uint64_t block_io_delay;	/* 42, clock ticks */
	uint64_t guest_time;		/* 43 */
	int64_t child_guest_time;	/* 44 */
	uint64_t start_data, end_data, start_brk;			/* 45-47 */
	uint64_t arg_start, arg_end, env_start, env_end;		/* 48-51 */
	int32_t exit_code;		/* 52, as waitpid(2) reports it; for zombies */
};

/* The escaped command name from the cursor up to `end`, which lies in *s; for other parsers. */
bool proc_scan_comm(struct scan *s, const char *end, char ret[PROC_COMM_SIZE]);

int proc_parse_stat(const char *text, size_t size, struct proc_stat *ret, struct error *err);
int proc_read_stat(int pid_dir, struct proc_stat *ret, struct error *err);
/* That of the process that has this id now. */
int proc_stat_of(pid_t pid, struct proc_stat *ret, struct error *err);

#endif
