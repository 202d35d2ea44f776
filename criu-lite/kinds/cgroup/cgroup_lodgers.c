/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is in which cgroup of a restored tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/cgroup/here.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
}

static int by_tid(const void *a, const void *b)
{
	const struct cgroup_lodger *x = a, *y = b;

	return x->tid != y->tid ? x->tid - y->tid : (int)x->place - (int)y->place;
}

int cgroups_list_lodgers(struct cgroups_here *here, struct error *err)
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
				 cgroup_version(p->m->controllers));
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

int cgroups_check_homes(struct restore *r, const struct cgroup_lodger *were, size_t count,
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
