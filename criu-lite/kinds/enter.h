/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_ENTER_H
#define CL_KINDS_ENTER_H

#include "kinds/dump.h"

/*
 * Batches in a process that is being saved, through the thread that speaks for it. Between enter
 * and leave the agent is in it; however this ends, the program runs on as if nothing had been.
 */
/* What the agent has to know of the process. */
struct agent_site dump_site(struct dump_task *task);
int dump_enter(struct dump_task *task, struct error *err);
int dump_leave(struct dump_task *task, struct error *err);
/* Enters, runs one batch, which is started for task->agent by make(), and leaves. */
int dump_visit(struct dump_task *task, struct batch *b,
	       int (*make)(struct batch *b, void *context, struct error *err), void *context,
	       struct error *err);

#endif
