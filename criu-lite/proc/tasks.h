/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_TASKS_H
#define CL_PROC_TASKS_H

#include <sys/types.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * Who is there: /proc, /proc/PID/task and /proc/PID/task/TID/children, proc(5). Ids are those of
 * the proc mount's pid namespace. A list is only complete when nothing in it can fork or exit
 * meanwhile: freeze first, or list again until nothing new shows up.
 */

struct pid_list {
	ARRAY_OF(pid_t) pids;
};

void pid_list_release(struct pid_list *list);
/* A process and all below it, as /proc shows them, root first; who ends meanwhile may be among
 * them. Appended to *tree. */
int proc_list_tree(pid_t root, struct pid_list *tree, struct error *err);
#define _cleanup_pid_list_ __attribute__((cleanup(pid_list_release)))
bool pid_list_has(const struct pid_list *list, pid_t pid);

/* These add to *list, which the caller releases also after a failure. */

/* The threads of a process, the leader first. pid_dir is an open /proc/PID. */
int proc_list_tasks(int pid_dir, struct pid_list *list, struct error *err);
/* All processes. proc_dir is an open /proc. */
int proc_list_processes(int proc_dir, struct pid_list *list, struct error *err);
/* The children of all threads of a process; zombies are among them. Without
 * CONFIG_PROC_CHILDREN this is proc_children_by_parent() of the same proc mount. */
int proc_children(int pid_dir, struct pid_list *list, struct error *err);
/* The same for who has just listed the threads. */
int proc_children_of(int pid_dir, const struct pid_list *threads, struct pid_list *list,
		     struct error *err);
/* Every process whose PPid is `parent`, found by reading the stat of all processes. */
int proc_children_by_parent(int proc_dir, pid_t parent, struct pid_list *list,
			    struct error *err);
/* "12 13 14 ", the text of a children file. */
int proc_parse_children(const char *text, size_t size, struct pid_list *list, struct error *err);

#endif
