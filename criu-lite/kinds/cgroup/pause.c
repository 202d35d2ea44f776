/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tree that was found frozen comes back frozen. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/cgroup/here.h"
#include "kinds/frozen.h"

static int add(struct freezers *ret, const struct cgroup_place *p, struct error *err)
{
	struct freezer *f = &ret->items[ret->count++];

	*f = (struct freezer){
		.kind = *p->m->controllers ? FREEZER_V1 : FREEZER_V2,
		.dir = fcntl(p->fds[0], F_DUPFD_CLOEXEC, 3),
		.path = strdup(p->directory),
		.was_frozen = p->m->frozen,
	};
	return f->dir < 0 || !f->path ? error_set(err, ERROR_FAILED, errno, "freezer") : 0;
}

int cgroups_freezers(struct restore *r, struct freezers *ret, struct error *err)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_place *p;

	*ret = (struct freezers){ 0 };
	if (!here)
		return 0;
	array_for(p, &here->places) {
		const char *file = *p->m->controllers ? "freezer.state" : "cgroup.freeze";

		if (p->fds && p->fds[0] >= 0 && !faccessat(p->fds[0], file, F_OK, 0) &&
		    ret->count < FREEZERS_MAX && add(ret, p, err))
			return -1;
	}
	return 0;
}

static int freeze(struct restore *r, struct freezer *f, int slot, struct error *err)
{
	const struct guard_freezer told = frozen_told(f);

	return guard_freezer_moves(r->guard, slot, &told, err) || freezer_set(f, true, 0, err) ?
		       -1 :
		       0;
}

int cgroups_pause(struct restore *r, struct error *err)
{
	struct freezers freezers;
	size_t i;
	int failed = cgroups_freezers(r, &freezers, err);

	for (i = 0; !failed && i < freezers.count; i++)
		failed = freezers.items[i].was_frozen && freeze(r, &freezers.items[i], i, err);
	freezers_release(&freezers);
	return failed;
}

void cgroups_end_pause(struct restore *r)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct freezers freezers;
	size_t i;

	if (cgroups_freezers(r, &freezers, &failed))
		error_clear(&failed);
	for (i = 0; i < freezers.count; i++)
		if (freezers.items[i].was_frozen &&
		    freezer_set(&freezers.items[i], false, 0, &failed))
			error_clear(&failed);
	freezers_release(&freezers);
}

bool cgroups_stays_frozen(struct restore *r, const struct freezer *f)
{
	const struct cgroups_here *here = cgroups_here_of(r);
	const struct cgroup_place *p;
	struct stat ours, its;

	if (!here || fstat(f->dir, &its))
		return false;
	array_for(p, &here->places)
		if (p->m->frozen && !fstat(p->fds[0], &ours) && ours.st_dev == its.st_dev &&
		    ours.st_ino == its.st_ino)
			return true;
	return false;
}
