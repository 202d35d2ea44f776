/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/locks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_locks locks;
	struct proc_lock *lock;

	if (accepted(proc_parse_locks((const char *)data, size, &locks, &err), &err))
		array_for(lock, &locks.items)
			must(lock->start <= lock->end);
	proc_locks_release(&locks);
	return 0;
}
