/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/cgroup/cgroups.h"
#include "kinds/cgroup/programs.h"
#include "kinds/cgroup/properties.h"
#include "kinds/dump.h"
#include "proc/cgroup.h"
#include "proc/tasks.h"

extern const struct kind cgroup_kind;

/* ---- check ---- */

static int check_programs(const struct container_look *look, const struct cgroup_root *root,
			  struct blockers *blockers, struct error *err)
{
	struct error found = ERROR_INIT;
	int failed = programs_read(root->fd, root->path, NULL, &found);

	if (failed && found.kind == ERROR_BLOCKED)
		failed = blockers_add(blockers, look->tasks[0].pid, found.message, found.hint,
				      "cgroup %s", root->path);
	else if (failed)
		return error_set(err, found.kind, found.os_error, "%s", found.message);
	error_clear(&found);
	return failed ? error_set(err, ERROR_FAILED, ENOMEM, "cgroup") : 0;
}

static int check_in(const struct container_look *look, const struct cgroup_root *root,
		    struct blockers *blockers, struct error *err)
{
	const struct cgroups one = { { (struct cgroup_root *)root, 1, 1 } };
	_cleanup_pid_list_ struct pid_list members = { 0 };
	size_t i;

	if (cgroups_members(&one, &members, err) ||
	    (!*root->controllers && check_programs(look, root, blockers, err)))
		return -1;
	for (i = 0; i < look->count; i++)
		if (!pid_list_has(&members, look->tasks[i].pid) &&
		    blockers_add(blockers, look->tasks[i].pid,
				 "it is in another cgroup than the root of its tree",
				 "move it back", "cgroup %s (%s)", root->path,
				 *root->controllers ? root->controllers : "version 2"))
			return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
	return 0;
}

static int check(const struct container_look *look, struct blockers *blockers, struct error *err)
{
	const struct cgroups *c = look->container->cgroups;
	const struct cgroup_root *root;

	if (!c)
		return 0;
	array_for(root, &c->roots)
		if (check_in(look, root, blockers, err))
			return -1;
	return 0;
}

/* ---- dump ---- */

struct saving {
	struct dump *d;
	struct pid_list known;	/* all threads and processes of the tree, ascending */
	const struct cgroup_root *root;
	CgroupHierarchy *m;
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
}

static int by_number(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

static int list_known(struct saving *s, struct error *err)
{
	struct dump_task **task;
	struct dump_thread *t;
	pid_t *id;

	array_for(task, &s->d->tasks) {
		id = array_add(&s->known.pids);
		if (!id)
			return no_memory(err);
		*id = (*task)->pid;
		array_for(t, &(*task)->threads) {
			id = array_add(&s->known.pids);
			if (!id)
				return no_memory(err);
			*id = t->tid;
		}
	}
	qsort(s->known.pids.items, s->known.pids.count, sizeof(pid_t), by_number);
	return 0;
}

static bool is_known(const struct saving *s, pid_t tid)
{
	return bsearch(&tid, s->known.pids.items, s->known.pids.count, sizeof(tid), by_number);
}

static int stranger(const struct saving *s, pid_t tid, struct error *err)
{
	if (tid)
		error_set(err, ERROR_BLOCKED, 0,
			  "thread %d is in the cgroup %s, but not of the tree", tid,
			  s->root->path);
	else
		error_set(err, ERROR_BLOCKED, 0,
			  "a process of another pid namespace is in the cgroup %s",
			  s->root->path);
	return error_hint(err, "end what entered from outside, or wait until it has ended");
}

/* The topmost one is where everybody is who is named nowhere. */
static int take_threads(struct saving *s, int dir, CgroupDirectory *m, struct error *err)
{
	const char *file = *s->root->controllers ? "tasks" : "cgroup.threads";
	_cleanup_pid_list_ struct pid_list tids = { 0 };
	_cleanup_buffer_ struct buffer text = { 0 };
	const pid_t *tid;
	char *at;

	if (read_file_at(dir, file, &text))
		return error_set(err, ERROR_TARGET, errno, "cgroup %s: %s", s->root->path, file);
	/* One on each line. */
	for (at = text.data; (at = strchr(at, '\n')); at++)
		*at = ' ';
	if (proc_parse_children(text.data, text.size, &tids, err))
		return -1;
	array_for(tid, &tids.pids)
		if (!is_known(s, *tid))
			return stranger(s, *tid, err);
	if (!*m->path || !tids.pids.count)
		return 0;
	m->threads = calloc(tids.pids.count, sizeof(*m->threads));
	if (!m->threads)
		return no_memory(err);
	array_for(tid, &tids.pids)
		m->threads[m->n_threads++] = *tid;
	return 0;
}

static int add_owner(CgroupDirectory *m, const char *name, const struct stat *st,
		     struct error *err)
{
	CgroupOwner **longer = realloc(m->owners, (m->n_owners + 1) * sizeof(*m->owners));
	CgroupOwner *owner = malloc(sizeof(*owner));

	if (longer)
		m->owners = longer;
	if (!longer || !owner) {
		free(owner);
		return no_memory(err);
	}
	cgroup_owner__init(owner);
	m->owners[m->n_owners++] = owner;
	owner->uid = st->st_uid;
	owner->gid = st->st_gid;
	owner->mode = st->st_mode & 07777;
	owner->name = strdup(name);
	return owner->name ? 0 : no_memory(err);
}

static CgroupDirectory *add_directory(struct saving *s, const char *path, int dir,
				      struct error *err)
{
	CgroupDirectory **longer, *m;
	struct stat st;

	if (s->m->n_directories == CGROUP_DIRECTORIES) {
		error_set(err, ERROR_BLOCKED, 0, "cgroup %s: more than %d are below it",
			  s->root->path, CGROUP_DIRECTORIES);
		return NULL;
	}
	if (fstat(dir, &st)) {
		error_set(err, ERROR_TARGET, errno, "cgroup %s", s->root->path);
		return NULL;
	}
	longer = realloc(s->m->directories, (s->m->n_directories + 1) * sizeof(*longer));
	m = malloc(sizeof(*m));
	if (longer)
		s->m->directories = longer;
	if (!longer || !m) {
		free(m);
		no_memory(err);
		return NULL;
	}
	cgroup_directory__init(m);
	s->m->directories[s->m->n_directories++] = m;
	m->uid = st.st_uid;
	m->gid = st.st_gid;
	m->mode = st.st_mode & 07777;
	m->path = strdup(path);
	if (!m->path)
		no_memory(err);
	return m->path ? m : NULL;
}

static int save_directory(struct saving *s, int dir, const char *path, int depth,
			  struct error *err);

static int save_entry(struct saving *s, int dir, CgroupDirectory *m, const char *path,
		      const struct dirent *entry, int depth, struct error *err)
{
	_cleanup_free_ char *longer = NULL;
	_cleanup_fd_ int below = -1;
	struct stat st;

	if (entry->d_name[0] == '.' && entry->d_type == DT_DIR &&
	    (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")))
		return 0;
	if (entry->d_type != DT_DIR) {
		if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    (!st.st_uid && !st.st_gid))
			return 0;
		return add_owner(m, entry->d_name, &st, err);
	}
	if (asprintf(&longer, "%s%s%s", path, *path ? "/" : "", entry->d_name) < 0) {
		longer = NULL;
		return no_memory(err);
	}
	below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (below < 0)
		return error_set(err, ERROR_TARGET, errno, "cgroup %s/%s", s->root->path, longer);
	return save_directory(s, below, longer, depth + 1, err);
}

/* Itself, then those below it. */
static int save_directory(struct saving *s, int dir, const char *path, int depth,
			  struct error *err)
{
	_cleanup_dir_ DIR *stream = NULL;
	const struct dirent *entry;
	CgroupDirectory *m;
	int copy;

	if (depth == CGROUP_DEPTH)
		return error_set(err, ERROR_BLOCKED, 0, "cgroup %s: more than %d levels",
				 s->root->path, CGROUP_DEPTH);
	m = add_directory(s, path, dir, err);
	if (!m || properties_read(dir, s->root->controllers, m, err) ||
	    take_threads(s, dir, m, err) ||
	    (!*s->root->controllers && programs_read(dir, s->root->path, m, err)))
		return -1;
	copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		fd_close(&copy);
		return error_set(err, ERROR_TARGET, errno, "cgroup %s", s->root->path);
	}
	while ((entry = readdir(stream)))
		if (save_entry(s, dir, m, path, entry, depth, err))
			return -1;
	return 0;
}

/* Below its own namespace's root a process sees less of the path than the machine. */
static int find_namespace_root(struct saving *s, const struct proc_cgroups *inside,
			       struct error *err)
{
	const struct proc_cgroup *seen = proc_cgroups_find(inside, s->root->controllers);
	size_t top = strlen(s->root->path), all = strlen(s->root->at), i, tail;

	if (!seen)
		return 0;
	tail = strcmp(seen->path, "/") ? strlen(seen->path) : 0;
	if (tail > all - top || strcmp(s->root->at + all - tail, tail ? seen->path : "")) {
		error_set(err, ERROR_BLOCKED, 0,
			  "the cgroup namespace of the tree does not begin in its own cgroup %s: "
			  "it sees that as %s",
			  s->root->path, seen->path);
		return error_hint(err, "make the namespace when it is in that cgroup");
	}
	for (i = 0; i < s->m->n_directories; i++) {
		const char *path = s->m->directories[i]->path;
		size_t length = *path ? strlen(path) + 1 : 0;

		if (length != all - tail - top ||
		    (length && strncmp(s->root->at + top + 1, path, length - 1)))
			continue;
		s->m->has_namespace_root = true;
		s->m->namespace_root = i;
		return 0;
	}
	return error_set(err, ERROR_BLOCKED, 0,
			 "the root of the tree's cgroup namespace, in %s, is gone", s->root->path);
}

static bool was_frozen(const struct saving *s)
{
	const struct freezers *f = &s->d->freezers;
	struct stat ours, its;
	size_t i;

	for (i = 0; i < f->count; i++)
		if (!fstat(s->root->fd, &ours) && !fstat(f->items[i].dir, &its) &&
		    ours.st_dev == its.st_dev && ours.st_ino == its.st_ino)
			return f->items[i].was_frozen;
	return false;
}

static int save_hierarchy(struct saving *s, Cgroup *m, const struct proc_cgroups *inside,
			  struct error *err)
{
	s->m = malloc(sizeof(*s->m));
	if (!s->m)
		return no_memory(err);
	cgroup_hierarchy__init(s->m);
	m->hierarchies[m->n_hierarchies++] = s->m;
	s->m->controllers = strdup(s->root->controllers);
	s->m->path = strdup(s->root->path);
	if (!s->m->controllers || !s->m->path)
		return no_memory(err);
	if (save_directory(s, s->root->fd, "", 0, err) ||
	    (inside && find_namespace_root(s, inside, err)))
		return -1;
	s->m->has_frozen = s->m->frozen = was_frozen(s);
	return 0;
}

/*
 * The paths as the tree's root sees them: /proc shows them as its reader's cgroup namespace has
 * them. The controller is not in that of the tree, and is back in its own afterwards.
 */
static int read_inside(const struct dump *d, struct proc_cgroups *ret, struct error *err)
{
	int proc = d->tasks.items[0]->proc_fd;
	_cleanup_fd_ int ours = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int its = openat(proc, "ns/cgroup", O_RDONLY | O_CLOEXEC);
	int r;

	if (ours < 0 || its < 0 || setns(its, CLONE_NEWCGROUP))
		return error_set(err, ERROR_TARGET, errno, "cannot look into the cgroup namespace");
	r = proc_read_cgroups(proc, ret, err);
	if (setns(ours, CLONE_NEWCGROUP))
		return error_set(err, ERROR_FAILED, errno, "cannot leave the cgroup namespace");
	return r;
}

static int save_all(struct saving *s, Cgroup *m, struct error *err)
{
	const struct cgroups *c = s->d->container.cgroups;
	_cleanup_proc_cgroups_ struct proc_cgroups inside = { 0 };
	bool own = s->d->container.namespaces & CLONE_NEWCGROUP;

	if (list_known(s, err) || (own && read_inside(s->d, &inside, err)))
		return -1;
	m->hierarchies = calloc(c->roots.count, sizeof(*m->hierarchies));
	if (!m->hierarchies)
		return no_memory(err);
	array_for(s->root, &c->roots)
		if (save_hierarchy(s, m, own ? &inside : NULL, err))
			return -1;
	return 0;
}

static int dump(struct dump *d, struct error *err)
{
	const struct cgroups *c = d->container.cgroups;
	struct saving s = { .d = d };
	Cgroup *m;
	int r;

	if (!c || !c->roots.count)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return no_memory(err);
	cgroup__init(m);
	r = save_all(&s, m, err) || dump_container(d, &cgroup_kind, &m->base, err) ? -1 : 0;
	pid_list_release(&s.known);
	cgroup__free_unpacked(m, NULL);
	return r;
}

static const struct container_ops cgroup_container = {
	.check = check,
	.dump = dump,
	.prepare = cgroup_prepare,
	.build = cgroup_build,
	.again = cgroup_again,
	.finish = cgroup_finish,
	.undo = cgroup_undo,
};

const struct kind cgroup_kind = {
	.name = "cgroup",
	.record = 0x230,
	.scope = KIND_CONTAINER,
	.message = &cgroup__descriptor,
	.help = "cgroups of its own, versions 1 and 2: limits, and who is in which",
	.container = &cgroup_container,
};
