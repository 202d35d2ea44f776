/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/auxv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_auxv auxv;
	uint64_t value;

	if (accepted(proc_parse_auxv(data, size, &auxv, &err), &err)) {
		must(auxv.entries.count * sizeof(struct auxv_entry) <= size);
		must(size == 0 || proc_auxv_find(&auxv, 0, &value));
	}
	proc_auxv_release(&auxv);
	return 0;
}
