/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which descriptors can be saved: in preflight, with the program running, and once more when it
 * is held.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/fd_scan.h"

static const struct kind *recognise(const struct fd_look *look)
{
	for (const struct kind *const *row = kinds_table; *row; row++)
		if ((*row)->scope == KIND_FILE && (*row)->file->recognise &&
		    (*row)->file->recognise(look))
			return *row;
	return NULL;
}

int fd_scan_standard(const struct fd_scan *scan, const struct fd_file *f)
{
	const struct stat *st = &f->file.look.st;
	const struct fd_look *other = NULL;

	if (f->standard >= 0)
		return f->standard;
	while ((other = fd_scan_by_inode(scan, st->st_dev, st->st_ino, other)))
		if (fd_file_of_look(other)->standard >= 0)
			return fd_file_of_look(other)->standard;
	return -1;
}

void fd_scan_classify(const struct fd_scan *scan, struct fd_file *f)
{
	f->kind = recognise(&f->file.look);
	f->blocked = false;
	if (!f->kind || !f->kind->file->outside || !f->kind->file->outside(scan, &f->file.look))
		return;
	f->blocked = fd_scan_standard(scan, f) < 0;
	if (!f->blocked)
		f->kind = &external_kind;
}

bool fd_scan_in_flight(const struct fd_scan *scan)
{
	for (size_t i = 0; i < scan->files.count; i++)
		if (scan->files.items[i]->file.look.info.scm_fds)
			return true;
	return false;
}

static int check_leases(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	const struct proc_lock *lock;

	array_for(lock, &look->info.locks) {
		if (lock->type != PROC_LOCK_LEASE && lock->type != PROC_LOCK_DELEG)
			continue;
		if (blockers_add(blockers, look->pid, "leases (fcntl F_SETLEASE) cannot be saved",
				 "have the program give it up", "descriptor %d (%s)", look->number,
				 look->link))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

static int check_file(const struct fd_scan *scan, const struct kind *kind,
		      const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	if (check_leases(look, blockers, err) ||
	    (kind->file->check && kind->file->check(look, blockers, err)))
		return -1;
	return kind->file->check_tree ? kind->file->check_tree(scan, look, blockers, err) : 0;
}

static int add_outside(const struct fd_file *f, struct blockers *blockers)
{
	const struct fd_look *look = &f->file.look;
	_cleanup_free_ char *who =
		f->kind->file->outside_who ? f->kind->file->outside_who(look) : NULL;
	char reason[256];

	snprintf(reason, sizeof(reason), "its other end is held by %s outside of the tree",
		 who ? who : "a process");
	return blockers_add(blockers, look->pid, reason,
			    "save the tree that holds both ends, or let the program close it",
			    "descriptor %d (%s)", look->number, look->link);
}

static int judge_file(struct fd_scan *scan, struct fd_file *f, bool in_flight,
		      struct blockers *blockers, struct error *err)
{
	const struct fd_look *look = &f->file.look;
	const char *reason, *remedy;

	fd_scan_classify(scan, f);
	if (f->blocked && in_flight)
		return 0;
	if (f->kind && !f->blocked)
		return check_file(scan, f->kind, look, blockers, err);
	if (!f->blocked)
		fd_unsupported(look, &reason, &remedy);
	if (f->blocked ? add_outside(f, blockers)
		       : blockers_add(blockers, look->pid, reason, remedy, "descriptor %d (%s)",
				      look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* Two processes, or threads of one, with regard to their descriptor tables, as kcmp(2) says. */
static int table_order(pid_t a, pid_t b)
{
	return sys_kcmp(a, b, KCMP_FILES, 0, 0);
}

static int compare_tables(const void *a, const void *b)
{
	const struct fd_table *x = *(const struct fd_table *const *)a;
	const struct fd_table *y = *(const struct fd_table *const *)b;
	int order = table_order(x->tid, y->tid);

	return order == 1 ? -1 : order == 2 ? 1 : 0;
}

static int judge_shared_tables(struct fd_scan *scan, struct blockers *blockers, struct error *err)
{
	_cleanup_free_ const struct fd_table **sorted = calloc(scan->tables.count + 1,
							       sizeof(*sorted));

	if (!sorted)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	for (size_t i = 0; i < scan->tables.count; i++)
		sorted[i] = &scan->tables.items[i];
	qsort(sorted, scan->tables.count, sizeof(*sorted), compare_tables);
	for (size_t i = 1; i < scan->tables.count; i++) {
		if (table_order(sorted[i - 1]->tid, sorted[i]->tid) != 0)
			continue;
		if (blockers_add(blockers, sorted[i]->pid,
				 "a descriptor table that processes share cannot be saved", NULL,
				 "descriptor table (the same as that of process %d)",
				 sorted[i - 1]->pid))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

/* A root that was cloned with CLONE_FILES, but is no thread, by whoever is its parent now. */
static int judge_root(const struct fd_scan *scan, struct blockers *blockers, struct error *err)
{
	const struct fd_table *root = scan->tables.items;
	_cleanup_error_ struct error ignored = ERROR_INIT;
	struct proc_stat stat;

	if (!scan->tables.count || proc_read_stat(root->proc_fd, &stat, &ignored) ||
	    table_order(root->tid, stat.ppid) != 0)
		return 0;
	if (blockers_add(
		    blockers, root->pid,
		    "a descriptor table that a process outside of the tree shares cannot be saved",
		    NULL, "descriptor table (the same as that of process %d)", stat.ppid))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* A thread that has called unshare(CLONE_FILES). */
static int judge_threads(const struct fd_table *table, struct blockers *blockers,
			 struct error *err)
{
	int fd = openat(table->proc_fd, table->pid == table->tid ? "task" : "..",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;

	if (!dir) {
		fd_close(&fd);
		return 0;
	}
	while ((item = readdir(dir))) {
		pid_t tid = fd_number(item->d_name);
		int order = tid <= 0 || tid == table->tid ? 0 : table_order(table->tid, tid);

		/* A leader that has exited has no table at all, which kcmp orders like any. */
		if (order <= 0 || tid == table->pid)
			continue;
		if (blockers_add(blockers, table->pid,
				 "threads with descriptor tables of their own cannot be saved",
				 NULL, "thread %d", tid))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

int fd_scan_judge(struct fd_scan *scan, struct blockers *blockers, struct error *err)
{
	bool in_flight = fd_scan_in_flight(scan);
	struct fd_table *table;

	for (size_t i = 0; i < scan->files.count; i++)
		if (judge_file(scan, scan->files.items[i], in_flight, blockers, err))
			return -1;
	if (judge_root(scan, blockers, err) || judge_shared_tables(scan, blockers, err))
		return -1;
	array_for(table, &scan->tables)
		if (!table->one_thread && judge_threads(table, blockers, err))
			return -1;
	return 0;
}

/* A thread that lives in a process whose leader has exited; the leader if none is found. */
static pid_t living_thread(const struct task_look *look)
{
	int fd = openat(look->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;

	if (!dir)
		fd_close(&fd);
	while (dir && (item = readdir(dir)))
		if (fd_number(item->d_name) > 0 && fd_number(item->d_name) != look->pid)
			return fd_number(item->d_name);
	return look->pid;
}

static int check_task(struct fd_scan *scan, const struct task_look *look, struct error *err)
{
	_cleanup_fd_ int thread_fd = -1;
	pid_t tid = look->pid;
	char path[32];

	if (fd_scan_process(scan, look->pid, err))
		return -1;
	if (look->stat->state == 'Z') {
		tid = living_thread(look);
		if (tid == look->pid)
			return 0;
		snprintf(path, sizeof(path), "task/%d", tid);
		thread_fd = openat(look->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (thread_fd < 0)
			return 0;
	}
	return fd_scan_table(scan, NULL, look->pid, tid, thread_fd < 0 ? look->proc_fd : thread_fd,
			     look->status->threads == 1, err);
}

int files_check(const struct task_look *tasks, size_t count, bool closes_connections,
		struct blockers *blockers, struct error *err)
{
	int can_lock = -1, r = 0;
	struct fd_scan scan = {
		.running = true,
		.closes_connections = closes_connections,
		.can_lock = &can_lock,
	};

	for (size_t i = 0; i < count && !r; i++)
		r = check_task(&scan, &tasks[i], err);
	if (!r)
		r = fd_scan_judge(&scan, blockers, err);
	fd_scan_release(&scan);
	return r;
}
