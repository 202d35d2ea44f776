/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_LEFTOVER_H
#define CL_STEPS_LEFTOVER_H

#include "kinds/dump.h"

/*
 * Another criu-lite may have been killed while its agent was in a process. Its guard takes it out;
 * but we can come before that, or the guard was killed too.
 */

/* Looks for such an agent in a held process whose maps are read. With `heal` it is taken out, which
 * changes task->maps; else that it is there is ERROR_TARGET with err->os_error EBUSY. */
int leftover_check(struct dump_task *task, bool heal, struct error *err);

#endif
