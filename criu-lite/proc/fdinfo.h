/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_FDINFO_H
#define CL_PROC_FDINFO_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/array.h"
#include "proc/locks.h"
#include "proc/status.h"
#include "proc/text.h"

/*
 * /proc/PID/fdinfo/N, proc_pid_fdinfo(5): the open file description behind a descriptor. Four
 * lines are common to all, the rest depends on the kind of file. .present says what was there.
 * Lines that nobody asks for (drm, io_uring, bpf, perf …) are passed over.
 */

enum {
	FDINFO_POS = 1 << 0,		/* pos */
	FDINFO_FLAGS = 1 << 1,		/* flags */
	FDINFO_MNT_ID = 1 << 2,		/* mnt_id */
	FDINFO_INO = 1 << 3,		/* ino, since Linux 5.14 */
	FDINFO_SCM_FDS = 1 << 4,	/* scm_fds, since 5.10, Unix sockets */
	FDINFO_EVENTFD = 1 << 5,	/* eventfd_count */
	FDINFO_EVENTFD_ID = 1 << 6,	/* eventfd_id, since 5.2 */
	FDINFO_EVENTFD_SEMAPHORE = 1 << 7, /* eventfd_semaphore, since 6.5 */
	FDINFO_TIMERFD = 1 << 8,	/* clock_id, timer_… */
	FDINFO_SIGNALFD = 1 << 9,	/* sigmask */
	FDINFO_EPOLL = 1 << 10,		/* epoll has items (an empty epoll writes no line) */
	FDINFO_INOTIFY = 1 << 11,	/* inotify has items (likewise) */
	FDINFO_FANOTIFY = 1 << 12,
	FDINFO_PIDFD = 1 << 13,		/* pid */
	FDINFO_PIDFD_NS = 1 << 14,	/* ns_pid */
	FDINFO_TUN = 1 << 15,		/* tun_name */
	FDINFO_TTY = 1 << 16,		/* tty_index */
	FDINFO_USERFAULTFD = 1 << 17,
	FDINFO_BPF = 1 << 18,
};

struct fdinfo_epoll {
	int fd;			/* number at which it was added; may be closed or reused since */
	uint32_t events;	/* EPOLL* */
	uint64_t data;
	bool has_file;		/* the rest, since Linux 4.13, tells which file was meant */
	int64_t pos;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
};

enum { FDINFO_HANDLE_MAX = 128 };	/* MAX_HANDLE_SZ */

struct fdinfo_inotify {
	int wd;
	uint64_t inode;
	uint32_t dev_major, dev_minor;	/* of the superblock */
	uint32_t mask, ignored_mask;	/* IN_* */
	bool has_handle;		/* for open_by_handle_at(2) */
	uint32_t handle_type, handle_size;
	uint8_t handle[FDINFO_HANDLE_MAX];
};

struct proc_fdinfo {
	uint32_t present;		/* FDINFO_* */
	int64_t pos;			/* bytes */
	uint32_t flags;			/* O_*, with O_CLOEXEC of this very descriptor */
	int mnt_id;			/* first field of mountinfo */
	uint64_t ino;
	uint32_t scm_fds;		/* descriptors waiting in the receive queue */

	uint64_t eventfd_count;
	int eventfd_id;			/* same id, same eventfd */
	bool eventfd_semaphore;		/* EFD_SEMAPHORE */

	int clock_id;			/* CLOCK_* */
	uint64_t timer_ticks;		/* expirations not read yet */
	uint32_t timer_flags;		/* TFD_TIMER_* as given to timerfd_settime */
	struct timespec timer_value;	/* time left, 0 disarmed */
	struct timespec timer_interval;

	uint64_t sigmask;		/* bit 0 is signal 1 */

	ARRAY_OF(struct fdinfo_epoll) epoll;
	ARRAY_OF(struct fdinfo_inotify) inotify;
	ARRAY_OF(struct proc_lock) locks;	/* held through this description */

	pid_t pid;			/* pidfd: as the reader sees it; 0 not visible, -1 reaped */
	struct proc_ns_ids ns_pid;

	char tun_name[16];		/* may be empty: not attached yet */
	int tty_index;			/* /dev/pts number of the slave of a /dev/ptmx descriptor */
};

static inline bool proc_fdinfo_has(const struct proc_fdinfo *info, uint32_t bits)
{
	return (info->present & bits) == bits;
}

/* pos and flags must be there. The caller releases *ret. A closed descriptor of a living process
 * makes ERROR_TARGET with ENOENT. */
int proc_parse_fdinfo(const char *text, size_t size, struct proc_fdinfo *ret, struct error *err);
int proc_read_fdinfo(int pid_dir, int fd, struct proc_fdinfo *ret, struct error *err);
void proc_fdinfo_release(struct proc_fdinfo *info);
#define _cleanup_proc_fdinfo_ __attribute__((cleanup(proc_fdinfo_release)))

#endif
