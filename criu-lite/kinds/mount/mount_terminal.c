/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Terminals that are mounted somewhere: they come with the descriptors, after all other mounts. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/calls.h"
#include "kinds/mount/mount_build.h"
#include "kinds/mount/mount_internal.h"
#include "kinds/mount/mount_share.h"

bool mounts_is_terminal(const Mounts *m, size_t i)
{
	const Mounts__Mount *one = m->mounts[i];

	if (!i || !one->has_file_system || !strcmp(one->root, "/") ||
	    strcmp(m->file_systems[one->file_system]->type, "devpts"))
		return false;
	for (size_t k = i + 1; k < m->n_mounts; k++)
		if (m->mounts[k]->parent == i)
			return false;
	return true;
}

/* A mount of all of the same file system, from which a part can be taken; -1: none. */
static int whole_of(const Mounts *m, const struct mount_set *set, size_t i)
{
	for (size_t k = 0; k < m->n_mounts; k++)
		if (m->mounts[k]->has_file_system && !strcmp(m->mounts[k]->root, "/") &&
		    m->mounts[k]->file_system == m->mounts[i]->file_system)
			return set->fds[k];
	return -1;
}

/* 1: done, 0: the terminal is not there; -1 with errno. */
static int mount_one(const Mounts *m, struct mount_set *set, size_t i)
{
	const Mounts__Mount *one = m->mounts[i];
	int whole = whole_of(m, set, i);
	_cleanup_fd_ int part = whole < 0 ? -1 : mount_open_below(whole, one->root + 1);
	_cleanup_fd_ int fd = -1, place = -1;

	if (part < 0)
		return 0;
	fd = mount_clone(part);
	place = mount_open_below(set->fds[one->parent], one->place);
	if (fd < 0 || place < 0 || mount_set_flags(fd, one->flags) ||
	    move_mount(fd, "", place, "", MOVE_EMPTY))
		return -1;
	set->fds[i] = steal_fd(&fd);
	return 1;
}

/* What the child tells: for each mount what mount_one() returned, or an error number. */
struct told {
	int os_error;
	int8_t results[];
};

static int mount_there(const Mounts *m, struct mount_set *set, int proc_fd, struct told *told)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int space = openat(proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);

	if (space < 0 || setns(space, CLONE_NEWNS))
		return -1;
	for (size_t i = 0; i < m->n_mounts; i++) {
		if (set->fds[i] >= 0)
			continue;
		told->results[i] = mount_one(m, set, i);
		if (told->results[i] < 0)
			return -1;
	}
	if (!mounts_share(m, set, &err))
		return 0;
	errno = err.os_error;
	return -1;
}

/* By a child: only one that is alone can go to another mount namespace. */
static int visit(const Mounts *m, struct mount_set *set, int proc_fd, struct told *told,
		 struct error *err)
{
	struct clone_args args = { 0 };
	pid_t child = sys_clone3(&args, sizeof(args));

	if (child == 0) {
		told->os_error = mount_there(m, set, proc_fd, told) ? errno : 0;
		_exit(0);
	}
	if (child < 0)
		return error_set(err, ERROR_FAILED, errno, "mounts");
	while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	if (told->os_error)
		return error_set(err, ERROR_FAILED, told->os_error,
				 "cannot mount the terminals of the tree");
	for (size_t i = 0; i < m->n_mounts; i++)
		if (set->fds[i] < 0 && !told->results[i])
			log_notice("%s: the terminal that was mounted there is not there any more",
				   m->mounts[i]->path);
	return 0;
}

bool mounts_lack_terminals(const struct mount_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->fds[i] < 0)
			return true;
	return false;
}

int mounts_finish_terminals(const Mounts *m, struct mount_set *set, int proc_fd,
			    struct error *err)
{
	size_t size = sizeof(struct told) + m->n_mounts;
	struct told *told;
	int r;

	told = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return error_set(err, ERROR_FAILED, errno, "mounts");
	r = visit(m, set, proc_fd, told, err);
	munmap(told, size);
	return r;
}
