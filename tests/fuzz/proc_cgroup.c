/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_cgroups cgroups;
	struct proc_cgroup *cgroup;

	if (accepted(proc_parse_cgroups((const char *)data, size, &cgroups, &err), &err)) {
		array_for(cgroup, &cgroups.items) {
			must(cgroup->path[0] == '/' && strlen(cgroup->controllers) < size);
			if (cgroup->hierarchy == 0 && !*cgroup->controllers)
				must(proc_cgroups_find(&cgroups, "") != NULL);
		}
		proc_cgroups_find(&cgroups, "memory");
	}
	proc_cgroups_release(&cgroups);
	return 0;
}
