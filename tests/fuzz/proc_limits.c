/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_limits limits;

	if (accepted(proc_parse_limits((const char *)data, size, &limits, &err), &err))
		must(limits.present == (1u << PROC_LIMITS) - 1);
	return 0;
}
