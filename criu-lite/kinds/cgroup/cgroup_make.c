/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directories of a restored tree's cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "freeze/freezer.h"
#include "freeze/hierarchy.h"
#include "freeze/members.h"
#include "guard/guard.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/cgroup/controllers.h"
#include "kinds/cgroup/here.h"
#include "kinds/cgroup/properties.h"
#include "proc/mountinfo.h"
#include "proc/tasks.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
}

/* ---- where it is to be ---- */

/* What --external says of this path: the longest prefix counts. */
static char *map_path(const struct container *c, const char *path)
{
	static const char word[] = "cgroup[";
	const struct external *best = NULL, *e;
	size_t longest = 0;
	char *ret;

	for (e = c->externals; e && e < c->externals + c->externals_count; e++) {
		const char *from = e->name + sizeof(word) - 1;
		size_t length;

		if (e->length <= sizeof(word) || strncmp(e->name, word, sizeof(word) - 1) ||
		    e->name[e->length - 1] != ']')
			continue;
		length = e->length - sizeof(word);
		if (length == 1)
			length = 0;
		if (strncmp(path, from, length) || (path[length] && path[length] != '/') ||
		    (best && length < longest))
			continue;
		best = e;
		longest = length;
	}
	if (!best)
		return strdup(path);
	return asprintf(&ret, "%s%s", strcmp(best->value, "/") ? best->value : "",
			path + longest) < 0 ?
		       NULL :
		       ret;
}

static int will_make(struct restore *r, struct cgroups_here *here, const char *path,
		     struct error *err)
{
	char **made;

	if (guard_will_make(r->guard, GUARD_CGROUP, 0, path, err))
		return -1;
	made = array_add(&here->made);
	if (!made)
		return no_memory(err);
	*made = strdup(path);
	return *made ? 0 : no_memory(err);
}

static int make_one(struct restore *r, struct cgroups_here *here, const char *path,
		    struct error *err)
{
	if (will_make(r, here, path, err))
		return -1;
	return mkdir(path, 0755) ? error_set(err, ERROR_BLOCKED, errno, "cgroup %s", path) : 0;
}

/* A cpuset without processors or memory takes nobody in: one above ours gets all that there is. */
static void inherit(const char *path, const char *file)
{
	_cleanup_free_ char *ours = NULL, *above = NULL;
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_fd_ int fd = -1;

	if (asprintf(&above, "%s/../%s", path, file) < 0)
		above = NULL;
	if (asprintf(&ours, "%s/%s", path, file) < 0)
		ours = NULL;
	if (!above || !ours || read_file_at(AT_FDCWD, above, &text))
		return;
	fd = open(ours, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write_full(fd, text.data, text.size))
		log_info("%s: %s", ours, strerror(errno));
}

/* Makes the cgroups above the topmost one that are not there. `path` is changed and restored. */
static int make_parents(struct restore *r, struct cgroups_here *here, char *path,
			struct error *err)
{
	char *slash = strrchr(path, '/');
	int failed = 0;

	if (!slash || slash == path)
		return 0;
	*slash = '\0';
	if (access(path, F_OK)) {
		failed = make_parents(r, here, path, err) || make_one(r, here, path, err);
		inherit(path, "cpuset.cpus");
		inherit(path, "cpuset.mems");
	}
	*slash = '/';
	return failed ? -1 : 0;
}

/* ---- making them ---- */

static int taken(const char *path, pid_t pid, struct error *err)
{
	if (pid)
		error_set(err, ERROR_BLOCKED, 0,
			  "cgroup %s is there already, with process %d in it", path, pid);
	else
		error_set(err, ERROR_BLOCKED, 0, "cgroup %s is there already, and not empty", path);
	return error_hint(err, "end what is in it, or name another one with --external "
			       "cgroup[/path]=/path-here");
}

static int check_empty(const char *path, int dir, struct error *err)
{
	_cleanup_pid_list_ struct pid_list members = { 0 };

	if (members_list(dir, &members, err))
		return error_wrap(err, "cgroup %s", path);
	return members.pids.count ? taken(path, members.pids.items[0], err) : 0;
}

/* An empty one may have been left frozen by who could not thaw it any more: then nobody who comes
 * into it would do anything. */
static int thaw(const struct cgroup_place *p, int dir, const char *path, struct error *err)
{
	struct freezer f = {
		.kind = *p->m->controllers ? FREEZER_V1 : FREEZER_V2,
		.dir = dir,
		.path = (char *)path,
	};

	if (faccessat(dir, freezer_file(&f), F_OK, 0))
		return 0;
	return freezer_set(&f, false, 0, err);
}

static int make_directory(struct restore *r, struct cgroups_here *here, struct cgroup_place *p,
			  size_t i, struct error *err)
{
	const CgroupDirectory *m = p->m->directories[i];
	_cleanup_free_ char *path = NULL;
	bool there;

	if (asprintf(&path, "%s%s%s", p->directory, *m->path ? "/" : "", m->path) < 0) {
		path = NULL;
		return no_memory(err);
	}
	if (!i && make_parents(r, here, path, err))
		return -1;
	there = access(path, F_OK) == 0;
	if (!there && make_one(r, here, path, err))
		return -1;
	p->fds[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->fds[i] < 0)
		return error_set(err, ERROR_FAILED, errno, "cgroup %s", path);
	if (there && ((!i && check_empty(path, p->fds[i], err)) || thaw(p, p->fds[i], path, err)))
		return -1;
	/* In version 2 it is decided above, once somebody is in there, which there are. */
	return *p->m->controllers ? properties_write(p->fds[i], path, p->m->controllers, m,
						     PROPERTY_EARLY, err) :
				    0;
}

/* NULL with no error: this machine has no such hierarchy, and nothing is lost by it. */
static char *find_directory(const struct container *c, const struct proc_mounts *mounts,
			    const char *controllers, const char *wanted, size_t *ret_top,
			    struct error *err)
{
	_cleanup_free_ char *path = map_path(c, wanted);
	char *directory = path ? hierarchy_directory(mounts, controllers, path, ret_top) : NULL;

	if (directory)
		return directory;
	if (!path) {
		no_memory(err);
	} else if (!strncmp(controllers, "name=", 5)) {
		log_notice("cgroup %s: there is no hierarchy %s here", path, controllers);
	} else {
		error_set(err, ERROR_BLOCKED, 0, "cgroup %s: no hierarchy \"%s\" is mounted here%s",
			  path, cgroup_version(controllers), strcmp(path, "/") ? "" : " below its top");
		error_hint(err, "mount it as on the machine where the image was made");
	}
	return NULL;
}

int cgroups_told(struct cgroups_here *here, const struct cgroup_place *p, struct error *err)
{
	struct runtime_cgroup *told = array_add(&here->told);

	if (!told)
		return no_memory(err);
	*told = (struct runtime_cgroup){ p->m->controllers, p->directory };
	return 0;
}

int cgroups_make(struct restore *r, struct cgroups_here *here, const struct proc_mounts *mounts,
		 const CgroupHierarchy *m, struct error *err)
{
	struct error none = ERROR_INIT;
	size_t top = 0, i;
	char *directory =
		find_directory(&r->container, mounts, m->controllers, m->path, &top, &none);
	struct cgroup_place *p;

	if (!directory) {
		*err = none;
		return none.kind == ERROR_NONE ? 0 : -1;
	}
	p = array_add(&here->places);
	if (!p) {
		free(directory);
		return no_memory(err);
	}
	p->m = m;
	p->directory = directory;
	p->fds = calloc(m->n_directories, sizeof(*p->fds));
	if (!p->fds)
		return no_memory(err);
	for (i = 0; i < m->n_directories; i++)
		p->fds[i] = -1;
	if (cgroups_told(here, p, err))
		return -1;
	for (i = 0; i < m->n_directories; i++)
		if (make_directory(r, here, p, i, err))
			return -1;
	if (!*m->controllers)
		controllers_enable(directory, top, m->directories[0]);
	return 0;
}

int cgroups_check_place(const struct container *c, const char *controllers, const char *path,
			struct error *err)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_free_ char *directory = NULL;
	struct error none = ERROR_INIT;
	_cleanup_fd_ int dir = -1;

	if (self < 0)
		return error_set(err, ERROR_FAILED, errno, "/proc/self");
	if (proc_read_mountinfo(self, &mounts, err))
		return -1;
	directory = find_directory(c, &mounts, controllers, path, NULL, &none);
	if (!directory) {
		*err = none;
		return none.kind == ERROR_NONE ? 0 : -1;
	}
	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? 0 : check_empty(directory, dir, err);
}
