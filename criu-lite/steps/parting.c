/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/parting.h"

#include "guard/guard.h"
#include "kinds/frozen.h"
#include "steps/hold.h"

int parting_begin(struct parting *p, struct dump *d, struct error *err)
{
	*p = (struct parting){ .dump = d };
	if (!d->freezers.count) {
		error_set(err, ERROR_BLOCKED, 0,
			  "the tree has no freezer cgroup of its own to wait in");
		return error_hint(err, "put it into a cgroup with nobody else");
	}
	hold_clean(d);
	return frozen_stay(d, err);
}

int parting_bind(struct parting *p, struct error *err)
{
	if (guard_check(p->dump->guard, err))
		return -1;
	guard_dismiss(p->dump->guard);
	return 0;
}

void parting_leave(struct parting *p)
{
	size_t i;

	/* So it shall be in the end. */
	for (i = 0; i < p->dump->freezers.count; i++)
		p->dump->freezers.items[i].was_frozen = p->dump->freezers.items[i].frozen;
	hold_release(p->dump);
}
