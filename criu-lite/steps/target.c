/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "freeze/hierarchy.h"
#include "freeze/members.h"
#include "proc/stat.h"
#include "proc/tasks.h"

static bool is_cgroup(const char *directory)
{
	_cleanup_free_ char *file = NULL;

	if (asprintf(&file, "%s/cgroup.procs", directory) < 0) {
		file = NULL;
		return false;
	}
	return access(file, F_OK) == 0;
}

/* A cgroup can be named by its path in the hierarchies: the freezer's comes first. */
static char *find_directory(const char *name, struct error *err)
{
	static const char *const first[] = { "freezer", "" };
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *directory;
	size_t i;

	if (self < 0) {
		error_set(err, ERROR_FAILED, errno, "/proc/self");
		return NULL;
	}
	if (proc_read_mountinfo(self, &mounts, err))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(first); i++) {
		directory = hierarchy_directory(&mounts, first[i], name, NULL);
		if (directory && is_cgroup(directory))
			return directory;
		free(directory);
	}
	error_set(err, ERROR_TARGET, ENOENT, "cgroup %s", name);
	error_hint(err, "wants the directory of a cgroup, or its path in the hierarchies");
	return NULL;
}

static char *cgroup_directory(const char *name, struct error *err)
{
	char *directory;

	if (name[0] != '/') {
		error_set(err, ERROR_USAGE, 0, "--cgroup %s: wants an absolute path", name);
		return NULL;
	}
	directory = realpath(name, NULL);
	if (directory && is_cgroup(directory))
		return directory;
	free(directory);
	return find_directory(name, err);
}

/* The oldest whose parent is not among the members. */
static int find_root(const struct pid_list *members, const char *name, pid_t *ret,
		     struct error *err)
{
	uint64_t oldest = UINT64_MAX;
	const pid_t *pid;

	*ret = 0;
	array_for(pid, &members->pids) {
		_cleanup_error_ struct error gone = ERROR_INIT;
		struct proc_stat stat;

		if (!*pid || proc_stat_of(*pid, &stat, &gone) ||
		    pid_list_has(members, stat.ppid) || stat.start_time >= oldest)
			continue;
		oldest = stat.start_time;
		*ret = *pid;
	}
	if (!*ret)
		return error_set(err, ERROR_TARGET, 0, "cgroup %s: no process is in it", name);
	return 0;
}

static int resolve_cgroup(struct target *ret, const char *name, struct error *err)
{
	_cleanup_pid_list_ struct pid_list members = { 0 };
	_cleanup_fd_ int fd = -1;

	ret->cgroup = cgroup_directory(name, err);
	if (!ret->cgroup)
		return -1;
	fd = open(ret->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_TARGET, errno, "cgroup %s", ret->cgroup);
	if (members_list(fd, &members, err) || find_root(&members, name, &ret->pid, err))
		return -1;
	if (cgroups_find(&ret->cgroups, ret->pid, (const char *const *)&ret->cgroup, 1, err))
		return -1;
	if (!ret->cgroups.roots.count) {
		error_set(err, ERROR_TARGET, 0, "cgroup %s is that of the whole machine", name);
		return error_hint(err, "wants a cgroup below the top of its hierarchy");
	}
	return 0;
}

/* The one that can be frozen. */
static int take_freezer(struct target *t, struct error *err)
{
	static const char *const files[] = { "freezer.state", "cgroup.freeze" };
	const struct cgroup_root *root;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		array_for(root, &t->cgroups.roots) {
			if (faccessat(root->fd, files[i], F_OK, 0))
				continue;
			t->cgroup = strdup(root->directory);
			return t->cgroup ? 0 :
					   error_set(err, ERROR_FAILED, ENOMEM, "%s",
						     root->directory);
		}
	}
	return 0;
}

static int resolve_container(struct target *ret, const char *name, struct error *err)
{
	_cleanup_free_ const char **given = NULL;
	size_t i;

	if (runtime_find(&ret->container, name, err))
		return -1;
	ret->pid = ret->container.pid;
	given = calloc(ret->container.cgroups.count + 1, sizeof(*given));
	if (!given)
		return error_set(err, ERROR_FAILED, ENOMEM, "container %s", name);
	for (i = 0; i < ret->container.cgroups.count; i++)
		given[i] = ret->container.cgroups.items[i].directory;
	if (cgroups_find(&ret->cgroups, ret->pid, given, ret->container.cgroups.count, err))
		return error_wrap(err, "container %s", name);
	return take_freezer(ret, err);
}

int target_resolve(struct target *ret, const struct target_name *name, struct error *err)
{
	*ret = (struct target){ 0 };
	switch (!!name->pid + !!name->cgroup + !!name->container) {
	case 0:
		return error_set(err, ERROR_USAGE, 0,
				 "which one? -t PID, --cgroup PATH or --container RUNTIME:ID is "
				 "missing");
	case 1:
		break;
	default:
		return error_set(err, ERROR_USAGE, 0,
				 "-t, --cgroup and --container exclude each other");
	}
	if (name->cgroup)
		return resolve_cgroup(ret, name->cgroup, err);
	if (name->container)
		return resolve_container(ret, name->container, err);
	ret->pid = name->pid;
	return 0;
}

/* A process that is not of the tree, unless it has ended by now. */
static int add_stranger(const struct target *t, pid_t pid, struct blockers *blockers)
{
	_cleanup_error_ struct error gone = ERROR_INIT;
	const char *where = t->container.runtime ? "container" : "cgroup";
	struct proc_stat stat, parent;
	char reason[192];

	if (!pid)
		return blockers_add(blockers, t->pid,
				    "is in it, and in a pid namespace that is not seen from here",
				    "end it, or wait until it has ended", "a process in %s",
				    t->cgroup);
	if (proc_stat_of(pid, &stat, &gone))
		return 0;
	if (proc_stat_of(stat.ppid, &parent, &gone))
		parent.comm[0] = '\0';
	snprintf(reason, sizeof(reason),
		 "entered the %s from outside, or was orphaned: its parent is process %d (%s)",
		 where, stat.ppid, parent.comm);
	return blockers_add(blockers, pid, reason, "end it, or wait until it has ended", "%s",
			    stat.comm);
}

int target_check(const struct target *t, struct blockers *blockers, struct error *err)
{
	_cleanup_pid_list_ struct pid_list members = { 0 }, tree = { 0 };
	pid_t *root, *pid;

	if (!t->cgroups.roots.count)
		return 0;
	root = array_add(&tree.pids);
	if (!root)
		return error_set(err, ERROR_FAILED, ENOMEM, "cgroup %s", t->cgroup);
	*root = t->pid;
	if (cgroups_members(&t->cgroups, &members, err))
		return -1;
	array_for(pid, &members.pids)
		if ((!*pid || !members_descends(*pid, &tree)) &&
		    add_stranger(t, *pid, blockers))
			return error_set(err, ERROR_FAILED, ENOMEM, "cgroup %s", t->cgroup);
	return 0;
}

void target_release(struct target *t)
{
	free(t->cgroup);
	cgroups_release(&t->cgroups);
	runtime_container_release(&t->container);
	*t = (struct target){ 0 };
}
