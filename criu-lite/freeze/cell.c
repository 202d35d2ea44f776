/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "freeze/hierarchy.h"
#include "freeze/members.h"
#include "proc/cgroup.h"
#include "proc/mountinfo.h"
#include "proc/tasks.h"

enum {
	PAUSE_NS = 500 * 1000,
	END_TIMEOUT_MS = 10000,
	REMOVE_TRIES = 2000,
};

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "freezer cgroup");
}

int cell_find(struct cell *ret, const struct pid_list *tree, const char *whole, struct error *err)
{
	struct freezers found;

	*ret = CELL_NONE;
	if (freezers_find(&found, tree, whole, err)) {
		freezers_release(&found);
		return -1;
	}
	if (found.count) {
		ret->freezer = found.items[0];
		found.items[0].dir = -1;
		found.items[0].path = NULL;
	}
	freezers_release(&found);
	return 0;
}

/* The path in /proc/PID/cgroup of one version; NULL when it is not in that. */
static char *path_of(pid_t pid, enum freezer_kind kind, struct error *err)
{
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	const struct proc_cgroup *c;
	_cleanup_fd_ int dir = proc_open(pid);

	if (dir < 0) {
		error_set(err, ERROR_DIED, errno, "process %d", pid);
		return NULL;
	}
	if (proc_read_cgroups(dir, &cgroups, err))
		return NULL;
	c = proc_cgroups_find(&cgroups, freezer_controller(kind));
	return c && !c->deleted ? strdup(c->path) : NULL;
}

/* The cgroup of one version that all of them are in; NULL when there is none. */
static char *common_cgroup(const struct pid_list *tree, enum freezer_kind kind, struct error *err)
{
	_cleanup_free_ char *common = NULL;
	const pid_t *pid;

	array_for(pid, &tree->pids) {
		_cleanup_error_ struct error ended = ERROR_INIT;
		_cleanup_free_ char *path = path_of(*pid, kind, &ended);

		if (!path && ended.kind == ERROR_DIED)
			continue;
		if (!path)
			return NULL;
		if (!common) {
			common = steal_ptr(path);
		} else if (strcmp(common, path)) {
			error_set(err, ERROR_BLOCKED, 0,
				  "the processes are in different cgroups (%s and %s), and none has a freezer for all",
				  common, path);
			error_hint(err, "put them into a cgroup of their own");
			return NULL;
		}
	}
	return steal_ptr(common);
}

/* Where the new one would be. */
static char *directory_for(const struct pid_list *tree, enum freezer_kind kind,
			   const struct proc_mounts *mounts, const char *name, struct error *err)
{
	_cleanup_free_ char *above = common_cgroup(tree, kind, err), *path = NULL;

	if (!above)
		return NULL;
	if (asprintf(&path, "%s/%s", above[1] ? above : "", name) < 0) {
		path = NULL;
		return NULL;
	}
	return hierarchy_directory(mounts, freezer_controller(kind), path, NULL);
}

int cell_plan(struct cell *ret, const struct pid_list *tree, const char *name, struct error *err)
{
	static const enum freezer_kind order[] = { FREEZER_V1, FREEZER_V2 };
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_error_ struct error different = ERROR_INIT;
	size_t i;

	*ret = CELL_NONE;
	ret->made = true;
	if (self < 0)
		return error_set(err, ERROR_FAILED, errno, "/proc/self");
	if (proc_read_mountinfo(self, &mounts, err))
		return -1;
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ret->freezer.kind = order[i];
		ret->freezer.path = directory_for(tree, order[i], &mounts, name, &different);
		if (ret->freezer.path)
			return 0;
	}
	if (different.kind) {
		*err = different;
		different = ERROR_INIT;
		return -1;
	}
	error_set(err, ERROR_BLOCKED, 0, "there is no cgroup freezer on this machine");
	return error_hint(err, "mount cgroup2 on /sys/fs/cgroup, or the freezer of version 1");
}

static int open_directory(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cell_make(struct cell *c, struct error *err)
{
	if (mkdir(c->freezer.path, 0755))
		return error_set(err, ERROR_FAILED, errno, "cannot make the cgroup %s",
				 c->freezer.path);
	c->freezer.dir = open_directory(c->freezer.path);
	if (c->freezer.dir < 0 || faccessat(c->freezer.dir, freezer_file(&c->freezer), W_OK, 0)) {
		error_set(err, ERROR_BLOCKED, errno, "cgroup %s: its freezer", c->freezer.path);
		rmdir(c->freezer.path);
		return -1;
	}
	return 0;
}

int cell_open(struct cell *ret, const char *directory, bool made, struct error *err)
{
	enum freezer_kind kind;

	*ret = CELL_NONE;
	ret->made = made;
	ret->freezer.dir = open_directory(directory);
	ret->freezer.path = strdup(directory);
	if (!ret->freezer.path)
		return no_memory(err);
	for (kind = FREEZER_V1; kind <= FREEZER_V2; kind++) {
		ret->freezer.kind = kind;
		if (!faccessat(ret->freezer.dir, freezer_file(&ret->freezer), W_OK, 0)) {
			ret->freezer.frozen = freezer_in_force(&ret->freezer);
			return 0;
		}
	}
	error_set(err, ERROR_FAILED, errno, "the freezer of cgroup %s", directory);
	cell_release(ret);
	return -1;
}

static int put_all(int procs, const char *directory, const struct pid_list *pids,
		   struct error *err)
{
	const pid_t *pid;
	char text[16];

	array_for(pid, &pids->pids) {
		int size = snprintf(text, sizeof(text), "%d", *pid);

		/* ESRCH: it has ended. */
		if (write(procs, text, size) != size && errno != ESRCH)
			return error_set(err, ERROR_FAILED, errno,
					 "cannot put process %d into the cgroup %s", *pid,
					 directory);
	}
	return 0;
}

int cell_add(const struct cell *c, const struct pid_list *pids, struct error *err)
{
	_cleanup_fd_ int procs = openat(c->freezer.dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (procs < 0)
		return error_set(err, ERROR_FAILED, errno, "%s/cgroup.procs", c->freezer.path);
	return put_all(procs, c->freezer.path, pids, err);
}

/* Adds the descendants of those in the list that are not in it yet. */
static int extend(struct pid_list *list, struct error *err)
{
	size_t i;

	for (i = 0; i < list->pids.count; i++) {
		_cleanup_pid_list_ struct pid_list children = { 0 };
		_cleanup_error_ struct error ended = ERROR_INIT;
		_cleanup_fd_ int dir = proc_open(list->pids.items[i]);
		const pid_t *pid;
		pid_t *place;

		if (dir < 0 || proc_children(dir, &children, &ended))
			continue;
		array_for(pid, &children.pids) {
			if (pid_list_has(list, *pid))
				continue;
			place = array_add(&list->pids);
			if (!place)
				return no_memory(err);
			*place = *pid;
		}
	}
	return 0;
}

/* Who is born of one inside is inside: when a whole pass meets nobody new, all are. */
int cell_add_tree(const struct cell *c, pid_t root, struct error *err)
{
	_cleanup_pid_list_ struct pid_list list = { 0 };
	size_t known = 0;
	pid_t *first = array_add(&list.pids);

	if (!first)
		return no_memory(err);
	*first = root;
	while (known < list.pids.count) {
		known = list.pids.count;
		if (cell_add(c, &list, err) || extend(&list, err))
			return -1;
	}
	return 0;
}

int cell_freeze(struct cell *c, int timeout_ms, struct error *err)
{
	return freezer_set(&c->freezer, true, timeout_ms, err);
}

int cell_wait_frozen(const struct cell *c, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;

	while (!freezer_in_force(&c->freezer)) {
		if (now_ns() > deadline)
			return error_set(err, ERROR_TARGET, 0, "the cgroup %s does not freeze",
					 c->freezer.path);
		pause_a_little();
	}
	return 0;
}

int cell_thaw(struct cell *c, struct error *err)
{
	return freezer_set(&c->freezer, false, 0, err);
}

int cell_members(const struct cell *c, struct pid_list *pids, struct error *err)
{
	if (members_list(c->freezer.dir, pids, err))
		return -1;
	if (pid_list_has(pids, 0))
		return error_set(err, ERROR_FAILED, 0,
				 "cgroup %s: a process of a pid namespace that we do not see is in it",
				 c->freezer.path);
	return 0;
}

/* A frozen task of version 1 ends once it is thawed, before anything else. */
int cell_kill(struct cell *c, struct error *err)
{
	uint64_t deadline = now_ns() + END_TIMEOUT_MS * 1000000ull;

	for (;;) {
		_cleanup_pid_list_ struct pid_list members = { 0 };
		const pid_t *pid;

		if (cell_members(c, &members, err))
			return -1;
		if (!members.pids.count)
			return 0;
		if (now_ns() > deadline)
			return error_set(err, ERROR_TARGET, 0, "process %d does not end",
					 members.pids.items[0]);
		array_for(pid, &members.pids)
			kill(*pid, SIGKILL);
		if (cell_thaw(c, err))
			return -1;
		pause_a_little();
	}
}

int cell_dissolve(struct cell *c, struct error *err)
{
	_cleanup_fd_ int procs = -1, above = -1;
	int tries;

	if (c->freezer.dir < 0 || !c->made)
		return 0;
	above = openat(c->freezer.dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	procs = openat(above, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0)
		return error_set(err, ERROR_FAILED, errno, "the cgroup above %s", c->freezer.path);
	for (tries = 0; tries < REMOVE_TRIES; tries++) {
		_cleanup_pid_list_ struct pid_list members = { 0 };

		if (!unlinkat(above, strrchr(c->freezer.path, '/') + 1, AT_REMOVEDIR) ||
		    errno == ENOENT) {
			c->made = false;
			return 0;
		}
		if (cell_members(c, &members, err) ||
		    put_all(procs, c->freezer.path, &members, err))
			return -1;
		pause_a_little();
	}
	return error_set(err, ERROR_FAILED, EBUSY, "cannot remove the cgroup %s", c->freezer.path);
}

void cell_release(struct cell *c)
{
	fd_close(&c->freezer.dir);
	free(c->freezer.path);
	*c = CELL_NONE;
}
