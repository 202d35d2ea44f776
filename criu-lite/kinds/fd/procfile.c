/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that the kernel makes up when they are read: proc(5), sysfs(5), cgroup file systems. They
 * have no content of their own; those of a process of the tree are there again under its pid.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "images/path_file.pb-c.h"
#include "kinds/fd/path_file.h"

static const long file_systems[] = {
	PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
	SECURITYFS_MAGIC, SELINUX_MAGIC, SMACK_MAGIC, PSTOREFS_MAGIC,
};

static bool procfile_recognise(const struct fd_look *look)
{
	struct statfs fs;
	char path[64];

	/* Cheap questions first: none of them is on a disk. */
	if (!S_ISREG(look->st.st_mode) || look->info.flags & O_PATH || major(look->st.st_dev) ||
	    look->st.st_blocks)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", look->pid, look->number);
	if (statfs(path, &fs))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
		if (fs.f_type == file_systems[i])
			return true;
	return false;
}

static const struct file_ops procfile_file = {
	.recognise = procfile_recognise,
	.check = path_file_check,
	.dump = path_file_dump,
	.verify = path_file_verify,
	.plan = path_file_plan,
	.connect = path_file_connect,
};

const struct kind procfile_kind = {
	.name = "procfile",
	.record = 0x10b,
	.scope = KIND_FILE,
	.message = &path_file__descriptor,
	.help = "open files of /proc, /sys and cgroups, of processes of the tree too",
	.file = &procfile_file,
};
