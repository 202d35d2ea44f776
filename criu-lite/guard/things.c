/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removing what a restore that was killed has made. That something is not there, because it was not
 * made yet, is no error; and nobody is there to tell of others. */
#include <errno.h>
#include <ftw.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "guard/board.h"
#include "kernel-compat/nft.h"

enum { OPEN_DIRECTORIES = 8, TRY_NS = 2 * 1000 * 1000, TRIES = 1000 };

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	remove(path);
	return 0;
}

/* Our processes in it have been killed, but may not have ended yet. */
static int remove_cgroup(const char *path)
{
	int tries;

	for (tries = 0; tries < TRIES && rmdir(path); tries++) {
		if (errno != EBUSY)
			return -1;
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
	}
	return 0;
}

static int remove_thing(const struct board_thing *t)
{
	switch (t->what) {
	case GUARD_FILE:
		return unlink(t->path);
	case GUARD_DIRECTORY:
		return nftw(t->path, remove_entry, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
	case GUARD_CGROUP:
		return 0;
	case GUARD_MQUEUE:
		return mq_unlink(t->path);
	case GUARD_SHM:
		return shmctl(t->id, IPC_RMID, NULL);
	case GUARD_SEM:
		return semctl(t->id, 0, IPC_RMID);
	case GUARD_MSG:
		return msgctl(t->id, IPC_RMID, NULL);
	case GUARD_LOCK:
		return nft_remove_table(-1, NFPROTO_INET, t->path);
	}
	return 0;
}

void guard_remove_cgroups(const struct board *board)
{
	uint32_t i;

	for (i = board->thing_count; i-- > 0;)
		if (board->things[i].what == GUARD_CGROUP && remove_cgroup(board->things[i].path))
			continue;
}

void guard_remove_things(const struct board *board)
{
	uint32_t i;

	for (i = board->thing_count; i-- > 0;)
		if (remove_thing(&board->things[i]))
			continue;
}
