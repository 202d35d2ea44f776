/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_POSIX_TIMERS_H
#define CL_KINDS_TASK_POSIX_TIMERS_H

#include <signal.h>

#include "kinds/restore.h"

extern const struct kind posix_timers_kind;

/* Whether a saved timer, when it is armed again, sends this saved signal by itself, so that the
 * kernel goes on counting its overruns; then nobody else may queue the signal. */
bool posix_timers_sends(const struct restore_thread *t, const siginfo_t *info);

#endif
