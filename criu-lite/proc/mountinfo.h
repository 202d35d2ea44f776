/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_MOUNTINFO_H
#define CL_PROC_MOUNTINFO_H

#include <stdint.h>
#include <sys/mount.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/mountinfo, proc(5): the mounts of the process's mount namespace that its root
 * directory reaches; mount points are relative to that root. A parent that is not in the list
 * lies outside. Order: as mounted, parents before children except after moves.
 */

/* Flags of mount(2) that headers may lack. */
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1ul << 25)
#endif

struct proc_mount {
	int id, parent;			/* ids are reused after unmounting */
	uint32_t dev_major, dev_minor;	/* st_dev of its files (except btrfs and overlay) */
	const char *root;		/* directory of the file system that is mounted; no path for
					 * nsfs ("net:[4026531840]") */
	bool root_deleted;		/* that directory is removed; "//deleted" is cut off */
	const char *mount_point;	/* unescaped */
	const char *options;		/* of the mount, as written: "rw,nosuid,relatime" */
	unsigned long flags;		/* the same as MS_* of mount(2) */
	bool idmapped;
	int shared, master, propagate_from; /* peer groups, 0 none */
	bool unbindable;
	const char *type;		/* "ext4", "fuse.sshfs" */
	const char *source;		/* unescaped; may be "" */
	const char *super_options;	/* of the file system, as written, escapes included */
	unsigned long super_flags;	/* MS_RDONLY, _SYNCHRONOUS, _DIRSYNC, _LAZYTIME of it */
};

struct proc_mounts {
	ARRAY_OF(struct proc_mount) items;
	struct string_arena strings;
};

/* The caller releases *ret. */
int proc_parse_mountinfo(const char *text, size_t size, struct proc_mounts *ret,
			 struct error *err);
int proc_read_mountinfo(int pid_dir, struct proc_mounts *ret, struct error *err);
/* The mount with this id, or NULL. */
const struct proc_mount *proc_mounts_find(const struct proc_mounts *mounts, int id);
void proc_mounts_release(struct proc_mounts *mounts);
#define _cleanup_proc_mounts_ __attribute__((cleanup(proc_mounts_release)))

#endif
