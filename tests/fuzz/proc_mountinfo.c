/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct proc_mounts mounts;
	struct proc_mount *mount;

	if (accepted(proc_parse_mountinfo((const char *)data, size, &mounts, &err), &err)) {
		array_for(mount, &mounts.items) {
			must(*mount->mount_point && *mount->root && *mount->type);
			must(strlen(mount->source) + strlen(mount->super_options) < size);
			must(proc_mounts_find(&mounts, mount->id) != NULL);
		}
	}
	proc_mounts_release(&mounts);
	return 0;
}
