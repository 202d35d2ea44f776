/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_STATE_RESTORE_H
#define CL_STEPS_STATE_RESTORE_H

#include "kinds/restore.h"

/* Gives every thread of every puppet its saved state, kind after kind in the order of the table,
 * one batch a thread. */
int state_restore(struct restore *r, struct error *err);

#endif
