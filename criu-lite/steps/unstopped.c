/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/unstopped.h"

#include <stddef.h>

#include "base/array.h"

static const int stops[] = { SIGTSTP, SIGTTIN, SIGTTOU };

void unstopped_begin(sigset_t *ret_before)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(stops); i++)
		sigaddset(&set, stops[i]);
	sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* Other signals may be blocked by now, for good. */
void unstopped_end(const sigset_t *before)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(stops); i++)
		if (!sigismember(before, stops[i]))
			sigaddset(&set, stops[i]);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
