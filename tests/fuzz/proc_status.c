/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_status st;

	if (accepted(proc_parse_status((const char *)data, size, &st, &err), &err)) {
		must(memchr(st.name, '\0', sizeof(st.name)) != NULL);
		must(proc_status_has(&st, STATUS_NAME) && proc_status_has(&st, STATUS_UID));
		must(st.cpu_words <= PROC_CPU_WORDS && st.ns_pid.count <= PROC_PID_LEVELS);
		must(st.groups.count <= size);
	}
	proc_status_release(&st);
	return 0;
}
