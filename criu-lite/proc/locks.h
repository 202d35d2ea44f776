/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_LOCKS_H
#define CL_PROC_LOCKS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * File locks as /proc/locks, proc_locks(5), and the "lock:" lines of /proc/PID/fdinfo/N write
 * them: `1: POSIX  ADVISORY  WRITE 1234 fe:01:4711 0 EOF`. A lock that waits for another has the
 * same number and "->" before its type.
 */

enum proc_lock_type {
	PROC_LOCK_OTHER,
	PROC_LOCK_POSIX,	/* fcntl F_SETLK: belongs to a process (descriptor table) */
	PROC_LOCK_OFD,		/* fcntl F_OFD_SETLK: belongs to an open file description */
	PROC_LOCK_FLOCK,	/* flock(2): belongs to an open file description */
	PROC_LOCK_LEASE,	/* fcntl F_SETLEASE */
	PROC_LOCK_DELEG,	/* delegation, NFS server or F_SETDELEG */
};

struct proc_lock {
	uint64_t id;			/* running number within the text */
	bool blocked;			/* not held: waits for the lock of this id */
	enum proc_lock_type type;
	bool breaking;			/* lease or delegation that is being broken */
	int mode;			/* F_RDLCK, F_WRLCK or F_UNLCK */
	pid_t pid;			/* as the reader sees it, 0 if not at all; -1: OFD lock */
	bool has_file;			/* false: the file is not known and dev, inode are 0 */
	uint32_t dev_major, dev_minor;	/* of the superblock: st_dev may differ (btrfs, overlay) */
	uint64_t inode;
	uint64_t start, end;		/* bytes, end inclusive; UINT64_MAX: to its very end */
};

struct proc_locks {
	ARRAY_OF(struct proc_lock) items;
};

/* One lock, from the cursor on; for other parsers. */
bool proc_scan_lock(struct scan *s, struct proc_lock *ret);

/* /proc/locks: every lock on files known to the reader's pid namespace. proc_dir is an open
 * /proc. The caller releases *ret. */
int proc_parse_locks(const char *text, size_t size, struct proc_locks *ret, struct error *err);
int proc_read_locks(int proc_dir, struct proc_locks *ret, struct error *err);
void proc_locks_release(struct proc_locks *locks);
#define _cleanup_proc_locks_ __attribute__((cleanup(proc_locks_release)))

#endif
