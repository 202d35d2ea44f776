/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_SYSVIPC_H
#define CL_PROC_SYSVIPC_H

#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/sysvipc/{shm,sem,msg}, proc(5), sysvipc(7): the System V IPC objects of the ipc namespace
 * that the *reader* is in when it opens the file. Uids and gids are those of the reader's user
 * namespace, pids those of its pid namespace (0 when not in it). Times are seconds since 1970,
 * 0 never.
 */

struct sysvipc_perm {
	int32_t key;		/* 0: IPC_PRIVATE or removed */
	int id;
	mode_t mode;		/* permissions; for shm also SHM_DEST and SHM_LOCKED (shmctl(2)) */
	uid_t uid, cuid;	/* owner, creator */
	gid_t gid, cgid;
};

struct sysvipc_shm {
	struct sysvipc_perm perm;
	uint64_t size;			/* bytes */
	pid_t cpid, lpid;		/* creator; last shmat or shmdt */
	uint64_t attached;		/* number of mappings */
	int64_t atime, dtime, ctime;
	uint64_t rss, swap;		/* bytes */
};

struct sysvipc_sem {
	struct sysvipc_perm perm;
	uint32_t count;			/* semaphores in the set */
	int64_t otime, ctime;
};

struct sysvipc_msg {
	struct sysvipc_perm perm;
	uint64_t bytes, count;		/* in the queue */
	pid_t lspid, lrpid;		/* last sender, last receiver */
	int64_t stime, rtime, ctime;
};

struct sysvipc_shms {
	ARRAY_OF(struct sysvipc_shm) items;
};
struct sysvipc_sems {
	ARRAY_OF(struct sysvipc_sem) items;
};
struct sysvipc_msgs {
	ARRAY_OF(struct sysvipc_msg) items;
};

/* proc_dir is an open /proc; ENOENT (ERROR_TARGET): the kernel has no System V IPC. The caller
 * releases *ret with array_release(&ret->items). */
int proc_parse_shm(const char *text, size_t size, struct sysvipc_shms *ret, struct error *err);
int proc_read_shm(int proc_dir, struct sysvipc_shms *ret, struct error *err);
int proc_parse_sem(const char *text, size_t size, struct sysvipc_sems *ret, struct error *err);
int proc_read_sem(int proc_dir, struct sysvipc_sems *ret, struct error *err);
int proc_parse_msg(const char *text, size_t size, struct sysvipc_msgs *ret, struct error *err);
int proc_read_msg(int proc_dir, struct sysvipc_msgs *ret, struct error *err);

#endif
