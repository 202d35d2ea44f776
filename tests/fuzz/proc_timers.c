/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/timers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_timers timers;
	struct proc_timer *timer;

	if (accepted(proc_parse_timers((const char *)data, size, &timers, &err), &err))
		array_for(timer, &timers.items)
			must((timer->notify & ~SIGEV_THREAD_ID) <= SIGEV_THREAD);
	proc_timers_release(&timers);
	return 0;
}
