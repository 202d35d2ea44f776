/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_SITE_H
#define CL_STEPS_SITE_H

#include "kinds/dump.h"

/* What the agent has to know of a held process. */
struct agent_site site_of(struct dump_task *task);
/* Plans and installs the agent through the thread that speaks for the process. */
int site_install(struct dump_task *task, struct error *err);

#endif
