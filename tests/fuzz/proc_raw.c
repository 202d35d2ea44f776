/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_raw raw;

	for (int v6 = 0; v6 < 2; v6++) {
		int found =
			proc_parse_raw("net/raw", (const char *)data, size, v6, 4711, &raw, &err);

		must(found <= 1);
		accepted(found < 0 ? -1 : 0, &err);
	}
	return 0;
}
