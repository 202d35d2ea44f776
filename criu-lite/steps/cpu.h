/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_CPU_H
#define CL_STEPS_CPU_H

#include "images/cpu.pb-c.h"
#include "kinds/restore.h"

/* The processor in the image: what of it programs may use, and the layout of extended state. */

/* The message for this processor; free with cpu__free_unpacked(m, NULL). NULL without memory. */
Cpu *cpu_describe(void);
/* Reads both processors into r->cpu and r->saved_cpu. ERROR_BLOCKED, with the names, when this one
 * lacks something. */
int cpu_check(struct restore *r, const Cpu *saved, struct error *err);

#endif
