/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/cgroup/here.h"
#include "kinds/cgroup/programs.h"
#include "kinds/cgroup/properties.h"
#include "kinds/restore.h"
#include "proc/mountinfo.h"
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
		if (cgroups_make(r, here, &mounts, m->hierarchies[i], err))
			return -1;
	return cgroups_list_lodgers(here, err);
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
		if (cgroups_told(here, p, err))
			return -1;
	}
	return cgroups_list_lodgers(here, err) || cgroups_check_homes(r, were, count, err) ? -1 : 0;
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
