/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PARTING_H
#define CL_STEPS_PARTING_H

#include "kinds/dump.h"

/*
 * Offering a held tree to another machine. It is in our hands and in those of its freezer cgroup at
 * once; nothing of ours is in it. Until parting_bind() our death lets it go on; from then on it
 * stays frozen, whatever becomes of us.
 */
struct parting {
	struct dump *dump;
	/* Set by who has offered it and does not know whether it was taken: it is left frozen. */
	bool unknown;
};

/* Every task is held, and needed no more: takes what is ours out of them and freezes the cgroup.
 * ERROR_BLOCKED when the tree has none of its own. */
int parting_begin(struct parting *p, struct dump *d, struct error *err);
/* Frozen it stays, and so does the lock on its network. */
int parting_bind(struct parting *p, struct error *err);
/* Lets go of all threads, which stay frozen. */
void parting_leave(struct parting *p);

#endif
