/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PREFLIGHT_H
#define CL_STEPS_PREFLIGHT_H

#include "kinds/blockers.h"

/* Looks at every process of the tree under `root` while it runs, without stopping or touching it,
 * and collects what cannot be saved. A process that ends meanwhile is no error, a root that is not
 * there is. */
int preflight_look(pid_t root, struct blockers *blockers, struct error *err);
/* The same as a step of a checkpoint: ERROR_BLOCKED with all blockers when there are any. */
int preflight_checkpoint(pid_t root, struct error *err);

#endif
