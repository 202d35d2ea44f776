/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_ONE_PROCESSOR_H
#define CL_STEPS_ONE_PROCESSOR_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * We and a puppet take turns, a batch at a time: never do both run. Each turn across two processors
 * costs an interrupt and a processor that wakes from its idle state, several times what it costs on
 * one. Puppets inherit where we may run; where a task may is part of its state and put back later.
 */
struct one_processor {
	cpu_set_t allowed;
	bool active;
};

/* Keeps the calling thread where it is; does nothing where that cannot be had. */
void one_processor_begin(struct one_processor *p);
/* Lets it run again where it might before. */
void one_processor_end(struct one_processor *p);
/* Lets a puppet that has inherited the one processor run where we might before. */
void one_processor_free(const struct one_processor *p, pid_t tid);

#endif
