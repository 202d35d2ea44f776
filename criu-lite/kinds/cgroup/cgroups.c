/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/cgroup/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "freeze/hierarchy.h"
#include "freeze/members.h"
#include "proc/cgroup.h"
#include "proc/tasks.h"

struct search {
	struct cgroups *ret;
	struct proc_mounts mounts;
	struct proc_cgroups places;	/* of the root */
	struct pid_list tree;		/* just the root */
	const char *const *given;
	size_t given_count;
	char *name;	/* path of the first that was given */
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroups");
}

/* Whether `path` is `top` or below it. */
static bool within(const char *path, const char *top)
{
	size_t length = strlen(top);

	return !strncmp(path, top, length) && (path[length] == '/' || !path[length]);
}

static int add(struct search *s, const struct proc_cgroup *at, const char *path,
	       struct error *err)
{
	char *directory = hierarchy_directory(&s->mounts, at->controllers, path, NULL);
	struct cgroup_root *root = directory ? array_add(&s->ret->roots) : NULL;

	if (!root) {
		free(directory);
		return no_memory(err);
	}
	*root = (struct cgroup_root){
		.controllers = strdup(at->controllers),
		.path = strdup(path),
		.directory = directory,
		.at = strdup(at->path),
		.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	};
	if (!root->controllers || !root->path || !root->at)
		return no_memory(err);
	if (root->fd < 0)
		return error_set(err, ERROR_TARGET, errno, "cgroup %s", directory);
	return 0;
}

/* The one that was given for this hierarchy; *ret_path is NULL when there is none. */
static int look_for_given(struct search *s, const struct proc_cgroup *at, char **ret_path,
			  struct error *err)
{
	size_t i;

	*ret_path = NULL;
	for (i = 0; i < s->given_count && !*ret_path; i++)
		*ret_path = hierarchy_path(&s->mounts, at->controllers, s->given[i]);
	if (*ret_path && !within(at->path, *ret_path))
		return error_set(err, ERROR_BLOCKED, 0,
				 "process %d is in the cgroup %s (%s), not in %s",
				 s->tree.pids.items[0], at->path,
				 *at->controllers ? at->controllers : "version 2", *ret_path);
	return 0;
}

static bool is_own(struct search *s, const struct proc_cgroup *at, const char *path)
{
	_cleanup_free_ char *directory = hierarchy_directory(&s->mounts, at->controllers, path,
							     NULL);

	return directory && within(at->path, path) && members_only(directory, &s->tree);
}

static int look_in(struct search *s, const struct proc_cgroup *at, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (look_for_given(s, at, &path, err))
		return -1;
	if (path)
		return add(s, at, path, err);
	if (s->name && within(at->path, s->name))
		return add(s, at, s->name, err);
	if (is_own(s, at, at->path))
		return add(s, at, at->path, err);
	log_debug("cgroup %s (%s) is not the tree's own", at->path, at->controllers);
	return 0;
}

static int look(struct search *s, struct error *err)
{
	struct proc_cgroup *at;
	size_t i;

	for (i = 0; i < s->given_count && !s->name; i++)
		array_for(at, &s->places.items)
			if (!s->name)
				s->name = hierarchy_path(&s->mounts, at->controllers, s->given[i]);
	array_for(at, &s->places.items)
		if (!at->deleted && look_in(s, at, err))
			return -1;
	return 0;
}

int cgroups_find(struct cgroups *ret, pid_t root, const char *const *given, size_t count,
		 struct error *err)
{
	struct search s = { .ret = ret, .given = given, .given_count = count };
	_cleanup_fd_ int dir = -1, self = -1;
	pid_t *first = array_add(&s.tree.pids);
	int r;

	*ret = (struct cgroups){ 0 };
	if (!first)
		return no_memory(err);
	*first = root;
	dir = proc_open(root);
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || self < 0)
		r = error_set(err, ERROR_TARGET, errno, "process %d", root);
	else
		r = proc_read_cgroups(dir, &s.places, err) ||
				    proc_read_mountinfo(self, &s.mounts, err) || look(&s, err) ?
			    -1 :
			    0;
	pid_list_release(&s.tree);
	proc_cgroups_release(&s.places);
	proc_mounts_release(&s.mounts);
	free(s.name);
	return r;
}

static int by_number(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

int cgroups_members(const struct cgroups *c, struct pid_list *ret, struct error *err)
{
	const struct cgroup_root *root;
	size_t i, kept = 0;

	array_for(root, &c->roots)
		if (members_list(root->fd, ret, err))
			return error_wrap(err, "cgroup %s", root->directory);
	if (ret->pids.count)
		qsort(ret->pids.items, ret->pids.count, sizeof(*ret->pids.items), by_number);
	for (i = 0; i < ret->pids.count; i++)
		if (!kept || ret->pids.items[kept - 1] != ret->pids.items[i])
			ret->pids.items[kept++] = ret->pids.items[i];
	ret->pids.count = kept;
	return 0;
}

void cgroups_release(struct cgroups *c)
{
	struct cgroup_root *root;

	array_for(root, &c->roots) {
		free(root->controllers);
		free(root->path);
		free(root->directory);
		free(root->at);
		fd_close(&root->fd);
	}
	array_release(&c->roots);
}
