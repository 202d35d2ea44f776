/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>
#include <string.h>

#include "base/array.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/cgroup/programs.h"
#include "kinds/cgroup/properties.h"

enum { THREADS_MAX = 1 << 22, OWNERS_MAX = 512 };

/* Names of cgroups with one slash between them. */
static bool is_below(const char *path)
{
	size_t length, levels = 0;

	if (!*path || strlen(path) >= PATH_MAX / 2)
		return false;
	for (;; path += length + 1) {
		length = strcspn(path, "/");
		if (!length || length > NAME_MAX || ++levels >= CGROUP_DEPTH ||
		    (path[0] == '.' && (length == 1 || (length == 2 && path[1] == '.'))))
			return false;
		if (!path[length])
			return true;
	}
}

static int bad(const char *what, struct error *err)
{
	return error_set(err, ERROR_IMAGE, 0, "%s", what);
}

static bool is_known_parent(const CgroupHierarchy *m, size_t i)
{
	const char *path = m->directories[i]->path, *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0, k;

	for (k = 0; k < i; k++)
		if (strlen(m->directories[k]->path) == length &&
		    !strncmp(m->directories[k]->path, path, length))
			return true;
	return false;
}

static int verify_directory(const CgroupHierarchy *h, size_t i, struct error *err)
{
	const CgroupDirectory *m = h->directories[i];
	size_t k;

	if (i ? !is_below(m->path) || !is_known_parent(h, i) : *m->path)
		return bad("the path of a cgroup is none", err);
	if (m->mode & ~07777u)
		return bad("the mode of a cgroup is none", err);
	if (m->n_threads > THREADS_MAX || m->n_owners > OWNERS_MAX)
		return bad("a cgroup has too many threads or files", err);
	for (k = 0; k < m->n_owners; k++)
		if (strchr(m->owners[k]->name, '/') || m->owners[k]->name[0] == '.' ||
		    !m->owners[k]->name[0] || m->owners[k]->mode & ~07777u)
			return bad("a file of a cgroup has no usable name or mode", err);
	for (k = 0; k < m->n_threads; k++)
		if (!m->threads[k] || m->threads[k] > INT_MAX)
			return bad("a thread in a cgroup has no usable id", err);
	return properties_verify(h->controllers, m, err) ||
			       programs_verify(h->controllers, m, err) ?
		       -1 :
		       0;
}

static int verify_hierarchy(const CgroupHierarchy *m, struct error *err)
{
	size_t i;

	if (strlen(m->controllers) > NAME_MAX || strchr(m->controllers, '/'))
		return bad("the controllers of a cgroup hierarchy are none", err);
	if (m->path[0] != '/' || !is_below(m->path + 1))
		return bad("the path of a cgroup is none", err);
	if (!m->n_directories || m->n_directories > CGROUP_DIRECTORIES)
		return bad("a cgroup hierarchy has no cgroup, or too many", err);
	if (m->has_namespace_root && m->namespace_root >= m->n_directories)
		return bad("a cgroup namespace has no root", err);
	for (i = 0; i < m->n_directories; i++)
		if (verify_directory(m, i, err))
			return -1;
	return 0;
}

int cgroup_verify(const Cgroup *m, struct error *err)
{
	size_t i, k;

	if (!m->n_hierarchies || m->n_hierarchies > CGROUP_HIERARCHIES)
		return bad("there are no cgroup hierarchies, or too many", err);
	for (i = 0; i < m->n_hierarchies; i++) {
		for (k = 0; k < i; k++)
			if (!strcmp(m->hierarchies[i]->controllers, m->hierarchies[k]->controllers))
				return bad("a cgroup hierarchy is there twice", err);
		if (verify_hierarchy(m->hierarchies[i], err))
			return -1;
	}
	return 0;
}
