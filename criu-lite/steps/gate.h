/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_GATE_H
#define CL_STEPS_GATE_H

#include "kinds/dump.h"

/*
 * Just before a tree with a network namespace of its own is frozen, new TCP connections stay
 * outside and are held (network/hold.h), while those that had begun are made, and accepted by the
 * program, which still runs: nothing of them could be saved.
 */

/* With packets being held. Waits no longer than so for who is at it. A kernel that cannot keep them
 * outside does without. */
int gate_close(struct dump *d, unsigned int patience_ms, struct error *err);
/* The tree is held: what has arrived up to now is in its sockets, or was kept outside. */
int gate_held(struct dump *d, struct error *err);
/* It goes on here: they may come, and those that came meanwhile do, as all that was held. */
void gate_open(struct dump *d);

#endif
