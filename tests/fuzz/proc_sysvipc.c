/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/sysvipc.h"

/* The same text is offered to all three tables. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	const char *text = (const char *)data;
	struct sysvipc_shms shms;
	struct sysvipc_sems sems;
	struct sysvipc_msgs msgs;

	accepted(proc_parse_shm(text, size, &shms, &err), &err);
	accepted(proc_parse_sem(text, size, &sems, &err), &err);
	accepted(proc_parse_msg(text, size, &msgs, &err), &err);
	must(shms.items.count <= size && sems.items.count <= size && msgs.items.count <= size);
	array_release(&shms.items);
	array_release(&sems.items);
	array_release(&msgs.items);
	return 0;
}
