/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/preflight_tree.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel-compat/calls.h"
#include "proc/tasks.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
}

static const struct {
	const char *file;
	const char *roots;	/* what it must be of the first process: a child of one for which
				 * they differ would be somewhere else than its parent */
	const char *name;
} namespaces[] = {
	{ "ns/mnt", "ns/mnt", "mount" },
	{ "ns/net", "ns/net", "network" },
	{ "ns/ipc", "ns/ipc", "IPC" },
	{ "ns/uts", "ns/uts", "host name" },
	{ "ns/pid", "ns/pid", "pid" },
	{ "ns/user", "ns/user", "user" },
	{ "ns/time", "ns/time", "time" },
	{ "ns/cgroup", "ns/cgroup", "cgroup" },
	{ "ns/pid_for_children", "ns/pid", "children's pid" },
	{ "ns/time_for_children", "ns/time", "children's time" },
};

/* Inode numbers, 0 for a namespace that this kernel does not have. */
struct root_namespaces {
	ino_t inodes[ARRAY_SIZE(namespaces)];
};

static void find_root_namespaces(const struct task_look *root, struct root_namespaces *ret)
{
	size_t i;

	*ret = (struct root_namespaces){ { 0 } };
	for (i = 0; i < ARRAY_SIZE(namespaces); i++) {
		struct stat st;

		if (!fstatat(root->proc_fd, namespaces[i].roots, &st, 0))
			ret->inodes[i] = st.st_ino;
	}
}

/* A tree has one namespace of each sort. */
static int check_namespaces(const struct task_look *look, const struct root_namespaces *roots,
			    struct blockers *blockers, struct error *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(namespaces); i++) {
		struct stat its;

		if (!roots->inodes[i] || fstatat(look->proc_fd, namespaces[i].file, &its, 0) ||
		    its.st_ino == roots->inodes[i])
			continue;
		if (blockers_add(blockers, look->pid,
				 "is another one than that of the tree's first process",
				 "save that part of the tree by itself", "%s namespace",
				 namespaces[i].name))
			return no_memory(err);
	}
	return 0;
}

static const struct task_look *find_look(const struct task_look *looks, size_t count, pid_t pid)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (looks[i].pid == pid)
			return &looks[i];
	return NULL;
}

/* Memory shared by processes (clone with CLONE_VM, not threads). A vfork child is such a process
 * for a moment; it does not block, since the parent is waited for. */
static int check_sharing(const struct task_look *look, const struct task_look *parent,
			 struct blockers *blockers, struct error *err)
{
	if (!parent || look->stat->vsize != parent->stat->vsize ||
	    look->stat->start_stack != parent->stat->start_stack ||
	    parent->stat->state == 'D' ||
	    sys_kcmp(look->pid, parent->pid, KCMP_VM, 0, 0) != 0)
		return 0;
	if (blockers_add(blockers, look->pid, "is shared with its parent process",
			 "let it finish, or use threads or fork", "memory"))
		return no_memory(err);
	return 0;
}

/* Threads that have left what threads share. */
static int check_threads(const struct task_look *look, struct blockers *blockers,
			 struct error *err)
{
	_cleanup_pid_list_ struct pid_list tids = { 0 };
	/* A first thread that has ended has nothing to compare with. */
	size_t first = look->stat->state == 'Z', i;

	if (proc_list_tasks(look->proc_fd, &tids, err))
		return -1;
	for (i = first + 1; i < tids.pids.count; i++) {
		pid_t tid = tids.pids.items[i];

		if (sys_kcmp(tids.pids.items[first], tid, KCMP_FS, 0, 0) <= 0)
			continue;
		if (blockers_add(blockers, look->pid, "has a working directory of its own",
				 "let the thread end", "thread %d", tid))
			return no_memory(err);
	}
	return 0;
}

static int check_process(const struct task_look *look, struct blockers *blockers,
			 struct error *err)
{
	if (look->pid == getpid() &&
	    blockers_add(blockers, look->pid, "is criu-lite itself",
			 "run it outside of the tree that it saves", "process"))
		return no_memory(err);
	if (look->status->tracer_pid &&
	    blockers_add(blockers, look->pid, "is traced by another process",
			 "end the debugger or tracer first", "tracer %d",
			 look->status->tracer_pid))
		return no_memory(err);
	return 0;
}

int preflight_tree(const struct task_look *looks, size_t count, struct blockers *blockers,
		   struct error *err)
{
	struct root_namespaces roots;
	size_t i;

	if (!count)
		return 0;
	find_root_namespaces(looks, &roots);
	for (i = 0; i < count; i++) {
		const struct task_look *parent = find_look(looks, i, looks[i].stat->ppid);
		struct error gone = ERROR_INIT;

		if (check_process(&looks[i], blockers, err) ||
		    check_namespaces(&looks[i], &roots, blockers, err) ||
		    check_sharing(&looks[i], parent, blockers, err))
			return -1;
		if (!check_threads(&looks[i], blockers, &gone))
			continue;
		if (gone.kind != ERROR_DIED) {
			*err = gone;
			return -1;
		}
		error_clear(&gone);
	}
	return 0;
}
