/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/one_processor.h"

void one_processor_begin(struct one_processor *p)
{
	int here = sched_getcpu();
	cpu_set_t one;

	if (p->active || here < 0 || here >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof(p->allowed), &p->allowed))
		return;
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	p->active = !sched_setaffinity(0, sizeof(one), &one);
}

void one_processor_free(const struct one_processor *p, pid_t tid)
{
	if (p->active)
		sched_setaffinity(tid, sizeof(p->allowed), &p->allowed);
}

void one_processor_end(struct one_processor *p)
{
	if (p->active)
		sched_setaffinity(0, sizeof(p->allowed), &p->allowed);
	p->active = false;
}
