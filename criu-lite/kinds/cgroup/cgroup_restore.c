/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
#include "kinds/cgroup/programs.h"
#include "kinds/cgroup/properties.h"
#include "kinds/restore.h"
#include "proc/mountinfo.h"
#include "proc/tasks.h"
#include "runtime/runtime.h"

extern const struct kind cgroup_kind;

enum { REMOVE_TRIES = 500, REMOVE_PAUSE_NS = 4 * 1000 * 1000 };

struct cgroups_here *cgroups_here_of(struct restore *r)
{
	return *restore_container_slot(r, &cgroup_kind);
}

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
}

static const char *version_of(const char *controllers)
{
	return *controllers ? controllers : "version 2";
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

static int set_owners(int dir, const char *path, const CgroupDirectory *m, struct error *err)
{
	size_t i;

	if (fchown(dir, m->uid, m->gid) || fchmod(dir, m->mode))
		return error_set(err, ERROR_FAILED, errno, "cgroup %s: its owner", path);
	for (i = 0; i < m->n_owners; i++) {
		const CgroupOwner *owner = m->owners[i];

		if (fchownat(dir, owner->name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) ||
		    fchmodat(dir, owner->name, owner->mode, 0)) {
			if (errno == ENOENT)
				continue;
			return error_set(err, ERROR_FAILED, errno, "cgroup %s: owner of %s", path,
					 owner->name);
		}
	}
	return 0;
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
			  path, version_of(controllers), strcmp(path, "/") ? "" : " below its top");
		error_hint(err, "mount it as on the machine where the image was made");
	}
	return NULL;
}

static int tell(struct cgroups_here *here, const struct cgroup_place *p, struct error *err)
{
	struct runtime_cgroup *told = array_add(&here->told);

	if (!told)
		return no_memory(err);
	*told = (struct runtime_cgroup){ p->m->controllers, p->directory };
	return 0;
}

static int make_hierarchy(struct restore *r, struct cgroups_here *here,
			  const struct proc_mounts *mounts, const CgroupHierarchy *m,
			  struct error *err)
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
	if (tell(here, p, err))
		return -1;
	for (i = 0; i < m->n_directories; i++)
		if (make_directory(r, here, p, i, err))
			return -1;
	if (!*m->controllers)
		controllers_enable(directory, top, m->directories[0]);
	return 0;
}

static int by_tid(const void *a, const void *b)
{
	const struct cgroup_lodger *x = a, *y = b;

	return x->tid != y->tid ? x->tid - y->tid : (int)x->place - (int)y->place;
}

static int list_lodgers(struct cgroups_here *here, struct error *err)
{
	struct cgroup_lodger *lodger;
	size_t i, k, n;

	for (i = 0; i < here->places.count; i++) {
		const CgroupHierarchy *m = here->places.items[i].m;

		for (k = 0; k < m->n_directories; k++)
			for (n = 0; n < m->directories[k]->n_threads; n++) {
				lodger = array_add(&here->lodgers);
				if (!lodger)
					return no_memory(err);
				*lodger = (struct cgroup_lodger){ m->directories[k]->threads[n], i,
								  k };
			}
	}
	if (here->lodgers.count)
		qsort(here->lodgers.items, here->lodgers.count, sizeof(*here->lodgers.items),
		      by_tid);
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

int cgroup_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const Cgroup *m = (const Cgroup *)message;
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct cgroups_here *here = calloc(1, sizeof(*here));
	size_t i;

	if (!here)
		return no_memory(err);
	*restore_container_slot(r, &cgroup_kind) = here;
	if (self < 0)
		return error_set(err, ERROR_FAILED, errno, "/proc/self");
	if (cgroup_verify(m, err) || proc_read_mountinfo(self, &mounts, err))
		return -1;
	for (i = 0; i < m->n_hierarchies; i++)
		if (make_hierarchy(r, here, &mounts, m->hierarchies[i], err))
			return -1;
	return list_lodgers(here, err);
}

/* ---- who is in them ---- */

static int put_into(const struct cgroup_place *p, uint32_t directory, const char *file, pid_t id,
		    struct error *err)
{
	_cleanup_fd_ int fd = openat(p->fds[directory], file, O_WRONLY | O_CLOEXEC);
	char text[16];
	int n;

	n = snprintf(text, sizeof(text), "%d", id);
	if (fd < 0 || write(fd, text, n) != n)
		return error_set(err, ERROR_FAILED, errno, "task %d: cgroup %s/%s (%s)", id,
				 p->directory, p->m->directories[directory]->path,
				 version_of(p->m->controllers));
	return 0;
}

int cgroups_enter(struct restore *r, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_place *p;

	if (!here)
		return 0;
	array_for(p, &here->places)
		if (put_into(p, p->m->namespace_root, "cgroup.procs", 0, err))
			return -1;
	return 0;
}

static uint32_t home_of(const struct cgroups_here *here, pid_t tid, size_t place)
{
	const struct cgroup_lodger wanted = { tid, place, 0 };
	const struct cgroup_lodger *found =
		bsearch(&wanted, here->lodgers.items, here->lodgers.count, sizeof(wanted), by_tid);

	return found ? found->directory : 0;
}

int cgroups_place_task(struct restore *r, pid_t pid, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	bool first = r->tasks.count && r->tasks.items[0]->pid == pid;
	size_t i;

	for (i = 0; here && i < here->places.count; i++) {
		const struct cgroup_place *p = &here->places.items[i];

		/* All others inherit it. */
		if ((first || p->m->n_directories > 1) &&
		    put_into(p, home_of(here, pid, i), "cgroup.procs", pid, err))
			return -1;
	}
	return 0;
}

int cgroups_place_thread(struct restore *r, pid_t tid, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	size_t i;

	for (i = 0; here && i < here->places.count; i++) {
		const struct cgroup_place *p = &here->places.items[i];
		const char *file = *p->m->controllers ? "tasks" : "cgroup.threads";

		if (p->m->n_directories > 1 && put_into(p, home_of(here, tid, i), file, tid, err))
			return -1;
	}
	return 0;
}

/* ---- at the end ---- */

/* Owners are set when nothing has to be written any more, but root may write all the same. */
static int finish_directory(const struct cgroup_place *p, size_t i, struct error *err)
{
	const CgroupDirectory *m = p->m->directories[i];
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s%s%s", p->directory, *m->path ? "/" : "", m->path) < 0) {
		path = NULL;
		return no_memory(err);
	}
	return properties_write(p->fds[i], path, p->m->controllers, m, PROPERTY_LATE, err) ||
			       programs_write(p->fds[i], path, m, err) ||
			       set_owners(p->fds[i], path, m, err) ?
		       -1 :
		       0;
}

/* In version 2 a cgroup whose controllers act on those below it has no processes itself: the first
 * puppet leaves it before. */
int cgroup_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_place *p;
	size_t i;

	if (container_foreign(&r->container) && cgroups_place_task(r, r->tasks.items[0]->pid, err))
		return -1;
	array_for(p, &here->places)
		for (i = 0; !*p->m->controllers && i < p->m->n_directories; i++)
			if (properties_write(p->fds[i], p->directory, "", p->m->directories[i],
					     PROPERTY_EARLY, err))
				return -1;
	return 0;
}

/* The same cgroups, though others may be in them. */
static bool same_hierarchy(const CgroupHierarchy *a, const CgroupHierarchy *b)
{
	size_t i;

	if (strcmp(a->controllers, b->controllers) || strcmp(a->path, b->path) ||
	    a->n_directories != b->n_directories ||
	    a->has_namespace_root != b->has_namespace_root ||
	    a->namespace_root != b->namespace_root)
		return false;
	for (i = 0; i < a->n_directories; i++)
		if (strcmp(a->directories[i]->path, b->directories[i]->path))
			return false;
	return true;
}

static const CgroupHierarchy *find_hierarchy(const Cgroup *m, const CgroupHierarchy *former)
{
	size_t i;

	for (i = 0; i < m->n_hierarchies; i++)
		if (same_hierarchy(m->hierarchies[i], former))
			return m->hierarchies[i];
	return NULL;
}

/* A puppet that goes on stays in its cgroup. */
static int check_homes(struct restore *r, const struct cgroup_lodger *were, size_t count,
		       struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_lodger *l;
	size_t i;

	for (l = were; l < were + count; l++)
		for (i = 0; i < r->tasks.count; i++)
			if (r->tasks.items[i]->pid == l->tid &&
			    home_of(here, l->tid, l->place) != l->directory)
				return error_set(err, ERROR_FAILED, 0, "process %d has moved to "
						 "another cgroup since its memory was first copied",
						 l->tid);
	return 0;
}

int cgroup_again(struct restore *r, const ProtobufCMessage *former,
		 const ProtobufCMessage *message, struct error *err)
{
	const Cgroup *m = (const Cgroup *)message;
	struct cgroups_here *here = cgroups_here_of(r);
	_cleanup_free_ struct cgroup_lodger *were = here->lodgers.items;
	size_t count = here->lodgers.count;
	struct cgroup_place *p;

	here->lodgers.items = NULL;
	here->lodgers.count = here->lodgers.capacity = here->told.count = 0;
	if (cgroup_verify(m, err))
		return -1;
	array_for(p, &here->places) {
		p->m = find_hierarchy(m, p->m);
		if (!p->m)
			return error_set(err, ERROR_FAILED, 0, "the tree's cgroups have changed "
					 "since its memory was first copied");
		if (tell(here, p, err))
			return -1;
	}
	return list_lodgers(here, err) || check_homes(r, were, count, err) ? -1 : 0;
}

int cgroup_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_place *p;
	size_t i;

	array_for(p, &here->places)
		for (i = 0; i < p->m->n_directories; i++)
			if (finish_directory(p, i, err))
				return -1;
	return 0;
}

void cgroups_tell(struct restore *r, struct runtime_place *place)
{
	const struct cgroups_here *here = cgroups_here_of(r);

	place->cgroups = here ? here->told.items : NULL;
	place->cgroups_count = here ? here->told.count : 0;
}

/* The puppets were killed, and may take a moment to end. */
static void remove_one(const char *path)
{
	const struct timespec pause = { .tv_nsec = REMOVE_PAUSE_NS };
	int tries;

	for (tries = 0; tries < REMOVE_TRIES && rmdir(path); tries++) {
		if (errno != EBUSY)
			return;
		nanosleep(&pause, NULL);
	}
}

void cgroup_undo(struct restore *r, const ProtobufCMessage *message)
{
	struct cgroups_here *here = cgroups_here_of(r);
	size_t i, k;

	if (!here)
		return;
	cgroups_end_pause(r);
	for (i = 0; i < here->places.count; i++) {
		struct cgroup_place *p = &here->places.items[i];

		for (k = 0; p->fds && k < p->m->n_directories; k++)
			fd_close(&p->fds[k]);
		free(p->fds);
		free(p->directory);
	}
	for (i = here->made.count; i-- > 0;) {
		if (here->made.items[i])
			remove_one(here->made.items[i]);
		free(here->made.items[i]);
	}
	array_release(&here->places);
	array_release(&here->told);
	array_release(&here->made);
	array_release(&here->lodgers);
	free(here);
	*restore_container_slot(r, &cgroup_kind) = NULL;
}
