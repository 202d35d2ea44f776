/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_PROC_FILE_H
#define CL_KINDS_TASK_PROC_FILE_H

#include "kinds/dump.h"
#include "kinds/restore.h"

/*
 * Small files of /proc/TID. The thread's own number is used, for a leader that has exited has no
 * memory any more and its files fail.
 */

/* Reads one of a thread that is saved. */
int thread_read_proc(const struct dump_thread *t, const char *file, struct buffer *ret,
		     struct error *err);
/* Writes one of a puppet; on failure err->os_error has the kernel's answer. */
int puppet_write_proc(const struct restore_thread *t, const char *file, const char *text,
		      struct error *err);

#endif
