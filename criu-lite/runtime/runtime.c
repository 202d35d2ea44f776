/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proc/stat.h"
#include "runtime/internal.h"

const struct runtime *const runtimes[] = { &runc_runtime, NULL };

const struct runtime *runtime_by_name(const char *name)
{
	const struct runtime *const *row;

	for (row = runtimes; *row; row++)
		if (!strcmp((*row)->name, name))
			return *row;
	return NULL;
}

/* The names of all rows, for messages. */
static void list_names(char *text, size_t size)
{
	const struct runtime *const *row;
	size_t used = 0;

	text[0] = '\0';
	for (row = runtimes; *row && used < size; row++)
		used += snprintf(text + used, size - used, "%s%s", used ? ", " : "", (*row)->name);
}

static int split_name(struct runtime_container *ret, const char *name, char **root,
		      struct error *err)
{
	const char *colon = strrchr(name, ':'), *at = strchr(name, '@');
	_cleanup_free_ char *word = NULL;
	char known[128];

	if (at > colon)
		at = NULL;
	if (!colon || colon == name || !colon[1])
		return error_set(err, ERROR_USAGE, 0,
				 "container %s: wants RUNTIME:ID or RUNTIME@DIRECTORY:ID", name);
	word = strndup(name, (at ? at : colon) - name);
	*root = at ? strndup(at + 1, colon - at - 1) : NULL;
	ret->id = strdup(colon + 1);
	if (!word || !ret->id || (at && !*root))
		return error_set(err, ERROR_FAILED, ENOMEM, "container %s", name);
	ret->runtime = runtime_by_name(word);
	if (!ret->runtime) {
		list_names(known, sizeof(known));
		error_set(err, ERROR_USAGE, 0, "container %s: no runtime \"%s\" is known", name, word);
		return error_hint(err, "known are: %s", known);
	}
	if (*root && **root != '/')
		return error_set(err, ERROR_USAGE, 0,
				 "container %s: the directory has to be an absolute path", name);
	return 0;
}

bool runtime_runs(const struct runtime_container *c)
{
	_cleanup_error_ struct error gone = ERROR_INIT;
	struct proc_stat stat;

	return !proc_stat_of(c->pid, &stat, &gone) && stat.start_time == c->start_time &&
	       stat.state != 'Z' && stat.state != 'X';
}

int runtime_read(struct runtime_container *ret, const char *name, struct error *err)
{
	_cleanup_free_ char *root = NULL;

	*ret = (struct runtime_container){ 0 };
	return split_name(ret, name, &root, err) ||
			       ret->runtime->find(ret, root, ret->id, err) ?
		       -1 :
		       0;
}

int runtime_find(struct runtime_container *ret, const char *name, struct error *err)
{
	if (runtime_read(ret, name, err))
		return -1;
	if (!runtime_runs(ret)) {
		error_set(err, ERROR_TARGET, 0,
			  "container %s: its init, process %d started at %llu, has ended", name,
			  ret->pid, (unsigned long long)ret->start_time);
		return error_hint(err, "%s holds a stale state of it", ret->root);
	}
	return 0;
}

int runtime_write(const struct runtime_container *c, const struct runtime_place *place,
		  struct error *err)
{
	return c->runtime->write(c, place, err);
}

int runtime_forget(const struct runtime_container *c, struct error *err)
{
	c->runtime->forget_cgroups(c);
	return c->runtime->forget_state(c, err);
}

int runtime_free(const struct runtime_container *c, bool *ret_there, struct error *err)
{
	_cleanup_runtime_ struct runtime_container other = { 0 };
	_cleanup_error_ struct error unknown = ERROR_INIT;
	_cleanup_free_ char *directory = c->runtime->directory(c);
	bool there;

	if (!directory)
		return error_set(err, ERROR_FAILED, ENOMEM, "container %s", c->id);
	there = access(directory, F_OK) == 0;
	if (ret_there)
		*ret_there = there;
	if (!there)
		return 0;
	if (!c->runtime->find(&other, c->root, c->id, &unknown) && !runtime_runs(&other))
		return 0;
	error_set(err, ERROR_BLOCKED, 0, "%s has a container %s here already, in %s",
		  c->runtime->name, c->id, directory);
	return error_hint(err, "end and delete that one, or keep the two apart by their names");
}

void runtime_container_release(struct runtime_container *c)
{
	struct runtime_namespace *ns;
	struct runtime_cgroup *cgroup;

	array_for(cgroup, &c->cgroups) {
		free(cgroup->controllers);
		free(cgroup->directory);
	}
	array_for(ns, &c->namespaces) {
		free(ns->type);
		free(ns->path);
	}
	array_release(&c->cgroups);
	array_release(&c->namespaces);
	free(c->root);
	free(c->id);
	free(c->bundle);
	free(c->rootfs);
	free(c->state);
	free(c->config);
	*c = (struct runtime_container){ 0 };
}
