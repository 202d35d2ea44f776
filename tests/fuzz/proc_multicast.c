/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/multicast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	const char *text = (const char *)data;
	struct proc_groups groups;

	accepted(proc_parse_igmp(text, size, &groups, &err), &err);
	must(groups.items.count <= size);
	array_release(&groups.items);
	accepted(proc_parse_igmp6(text, size, &groups, &err), &err);
	must(groups.items.count <= size);
	array_release(&groups.items);
	return 0;
}
