/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_STATE_DUMP_H
#define CL_STEPS_STATE_DUMP_H

#include "kinds/dump.h"

/* Asks every thread of a held tree, through an agent that is gone again afterwards, what only it
 * can tell, and collects the messages of all process and thread kinds in d->state. */
int state_dump(struct dump *d, struct error *err);
/* Writes the collected messages to the image. */
int state_dump_write(struct dump *d, struct error *err);

#endif
