/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/hierarchy.h"

#include <stdio.h>
#include <string.h>

bool hierarchy_has_word(const char *list, const char *word, size_t length)
{
	size_t n;

	for (;; list += n + 1) {
		n = strcspn(list, ",");
		if (n == length && !strncmp(list, word, n))
			return true;
		if (!list[n])
			return false;
	}
}

bool hierarchy_is_mount(const struct proc_mount *m, const char *controllers)
{
	if (!*controllers)
		return !strcmp(m->type, "cgroup2");
	return !strcmp(m->type, "cgroup") &&
	       hierarchy_has_word(m->super_options, controllers, strcspn(controllers, ","));
}

/* The part of `path` below `top`, from its slash on; NULL when it is not below it. */
static const char *below(const char *path, const char *top)
{
	size_t length = strlen(top);

	if (length && top[length - 1] == '/')
		length--;
	if (strncmp(path, top, length) || path[length] != '/' || !path[length + 1] ||
	    !strncmp(path + length, "/..", 3))
		return NULL;
	return path + length;
}

char *hierarchy_directory(const struct proc_mounts *mounts, const char *controllers,
			  const char *path, size_t *ret_top)
{
	const struct proc_mount *m;
	const char *rest;
	char *directory;

	array_for(m, &mounts->items) {
		rest = hierarchy_is_mount(m, controllers) ? below(path, m->root) : NULL;
		if (!rest)
			continue;
		if (ret_top)
			*ret_top = strlen(m->mount_point);
		return asprintf(&directory, "%s%s", m->mount_point, rest) < 0 ? NULL : directory;
	}
	return NULL;
}

char *hierarchy_path(const struct proc_mounts *mounts, const char *controllers,
		     const char *directory)
{
	const struct proc_mount *m;
	const char *rest;
	char *path;

	array_for(m, &mounts->items) {
		rest = hierarchy_is_mount(m, controllers) ? below(directory, m->mount_point) : NULL;
		if (rest)
			return asprintf(&path, "%s%s", m->root[1] ? m->root : "", rest) < 0 ? NULL :
											      path;
	}
	return NULL;
}
