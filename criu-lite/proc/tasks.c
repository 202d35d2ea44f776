/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proc/stat.h"

void pid_list_release(struct pid_list *list)
{
	array_release(&list->pids);
}

bool pid_list_has(const struct pid_list *list, pid_t pid)
{
	const pid_t *at;

	array_for(at, &list->pids)
		if (*at == pid)
			return true;
	return false;
}

static int add_pid(struct pid_list *list, pid_t pid, struct error *err)
{
	pid_t *added = array_add(&list->pids);

	if (!added)
		return error_set(err, ERROR_FAILED, ENOMEM, "list of processes");
	*added = pid;
	return 0;
}

/* The entries of a directory that are numbers. Takes over dir_fd. */
static int list_numbers(int dir_fd, struct pid_list *list, struct error *err)
{
	_cleanup_fd_ int fd = dir_fd;
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return error_set(err, ERROR_FAILED, errno, "list of processes");
	fd = -1;
	while (errno = 0, (entry = readdir(dir))) {
		struct scan name = { entry->d_name, entry->d_name + strlen(entry->d_name) };
		pid_t pid;

		if (!scan_int(&name, &pid) || !scan_at_end(&name) || pid <= 0)
			continue;
		if (add_pid(list, pid, err))
			return -1;
	}
	if (errno == ESRCH || errno == ENOENT)
		return 0;
	return errno ? error_set(err, ERROR_TARGET, errno, "list of processes") : 0;
}

int proc_list_tasks(int pid_dir, struct pid_list *list, struct error *err)
{
	int fd = openat(pid_dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t before = list->pids.count;

	if (fd < 0 && errno != ENOENT && errno != ESRCH) {
		error_set(err, ERROR_TARGET, errno, "task");
		return proc_blame(pid_dir, err);
	}
	if (fd >= 0 && list_numbers(fd, list, err))
		return proc_blame(pid_dir, err);
	if (list->pids.count == before) {
		error_set(err, ERROR_DIED, 0, "the process is gone");
		return proc_blame(pid_dir, err);
	}
	return 0;
}

int proc_list_processes(int proc_dir, struct pid_list *list, struct error *err)
{
	int fd = openat(proc_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		error_set(err, ERROR_FAILED, errno, "list of processes");
		return proc_blame(proc_dir, err);
	}
	return list_numbers(fd, list, err) ? proc_blame(proc_dir, err) : 0;
}

int proc_parse_children(const char *text, size_t size, struct pid_list *list, struct error *err)
{
	struct scan s = { text, size ? text + size : text };

	while (!scan_finished(&s)) {
		pid_t pid;

		if (!scan_int(&s, &pid) || (!scan_at_end(&s) && *s.at != ' '))
			return error_set(err, ERROR_FAILED, 0,
					 "children holds no number at byte %zu",
					 (size_t)(s.at - text));
		if (add_pid(list, pid, err))
			return -1;
	}
	return 0;
}

int proc_children_by_parent(int proc_dir, pid_t parent, struct pid_list *list, struct error *err)
{
	_cleanup_pid_list_ struct pid_list all = { 0 };
	const pid_t *pid;

	if (proc_list_processes(proc_dir, &all, err))
		return -1;
	array_for(pid, &all.pids) {
		_cleanup_error_ struct error gone = ERROR_INIT;
		_cleanup_fd_ int fd = -1;
		struct proc_stat stat;
		char name[16];

		snprintf(name, sizeof(name), "%d", *pid);
		fd = openat(proc_dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (proc_read_stat(fd, &stat, &gone)) {
			if (gone.kind == ERROR_DIED)
				continue;
			*err = gone;
			gone = ERROR_INIT;
			return -1;
		}
		if (stat.ppid == parent && add_pid(list, *pid, err))
			return -1;
	}
	return 0;
}

enum children_answer { CHILDREN_FAILED = -1, CHILDREN_READ, CHILDREN_NO_FILE };

/* A thread that has exited meanwhile has no children. */
static enum children_answer children_of_thread(int pid_dir, pid_t tid, struct pid_list *list,
					       struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };
	char name[48];

	snprintf(name, sizeof(name), "task/%d/children", tid);
	if (read_file_at(pid_dir, name, &buf) == 0)
		return proc_parse_children(buf.data, buf.size, list, err) ? CHILDREN_FAILED
									  : CHILDREN_READ;
	if (errno == ESRCH)
		return CHILDREN_READ;
	if (errno != ENOENT) {
		error_set(err, ERROR_TARGET, errno, "%s", name);
		return CHILDREN_FAILED;
	}
	snprintf(name, sizeof(name), "task/%d/stat", tid);
	return faccessat(pid_dir, name, F_OK, 0) == 0 ? CHILDREN_NO_FILE : CHILDREN_READ;
}

static int children_by_stat(int pid_dir, struct pid_list *list, struct error *err)
{
	_cleanup_fd_ int proc_dir = openat(pid_dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct proc_stat stat;

	if (proc_dir < 0)
		return error_set(err, ERROR_FAILED, errno, "/proc");
	if (proc_read_stat(pid_dir, &stat, err))
		return -1;
	return proc_children_by_parent(proc_dir, stat.pid, list, err);
}

int proc_children_of(int pid_dir, const struct pid_list *threads, struct pid_list *list,
		     struct error *err)
{
	size_t before = list->pids.count;
	const pid_t *tid;

	array_for(tid, &threads->pids) {
		switch (children_of_thread(pid_dir, *tid, list, err)) {
		case CHILDREN_FAILED:
			return proc_blame(pid_dir, err);
		case CHILDREN_NO_FILE:
			list->pids.count = before;
			return children_by_stat(pid_dir, list, err);
		case CHILDREN_READ:
			break;
		}
	}
	return 0;
}

int proc_children(int pid_dir, struct pid_list *list, struct error *err)
{
	_cleanup_pid_list_ struct pid_list threads = { 0 };

	if (proc_list_tasks(pid_dir, &threads, err))
		return -1;
	return proc_children_of(pid_dir, &threads, list, err);
}

int proc_list_tree(pid_t root, struct pid_list *tree, struct error *err)
{
	pid_t *first = array_add(&tree->pids);
	size_t i;

	if (!first)
		return error_set(err, ERROR_FAILED, ENOMEM, "tree");
	*first = root;
	for (i = 0; i < tree->pids.count; i++) {
		struct error gone = ERROR_INIT;

		_cleanup_fd_ int proc = proc_open(tree->pids.items[i]);

		if (proc >= 0 && proc_children(proc, tree, &gone) && gone.kind != ERROR_DIED) {
			*err = gone;
			return -1;
		}
		error_clear(&gone);
	}
	return 0;
}
