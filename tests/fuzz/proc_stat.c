/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/stat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_stat st;

	if (accepted(proc_parse_stat((const char *)data, size, &st, &err), &err))
		must(memchr(st.comm, '\0', sizeof(st.comm)) != NULL);
	return 0;
}
