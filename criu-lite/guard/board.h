/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_GUARD_BOARD_H
#define CL_GUARD_BOARD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "guard/guard.h"

/* What the guard and its controller share; for the files of guard/ only. */

enum {
	BOARD_PATH = PATH_MAX,
	BOARD_FILE = 32,
	BOARD_WORD = 16,
	BOARD_NAME = 256,
	BOARD_THINGS = 1 << 16,
	BOARD_NOTES = 1 << 19,	/* address space only: a page is there once it is written */
};

struct board_freezer {
	bool moves, stops_frozen, was_frozen;
	char file[BOARD_FILE], thaw[BOARD_WORD], freeze[BOARD_WORD];
};

struct board_thing {
	enum guard_thing what;
	int id;
	char path[BOARD_PATH];
};

struct board {
	bool ending;		/* what is watched is to die */
	bool going;		/* what was restored is to live */
	char lock[BOARD_PATH];	/* while going: a packet lock to be removed, or empty */
	bool asks;		/* all this only if a file says so … */
	char decision[BOARD_NAME], word[BOARD_WORD];	/* … of this name, by this word */
	bool done;		/* the controller has nothing outside any more */
	uint32_t dropped;	/* how many orders to close sockets were carried out */
	uint32_t note_count, thing_count;
	struct board_freezer freezers[GUARD_FREEZERS];
	struct board_thing things[BOARD_THINGS];
	struct agent_note notes[BOARD_NOTES];
};

/* A message on the socket; with all but the last comes a descriptor. */
struct board_message {
	enum { MESSAGE_SOCKET, MESSAGE_PROCESS, MESSAGE_FREEZER, MESSAGE_OPEN,
	       MESSAGE_DECISION, MESSAGE_WRITER, MESSAGE_DROP_SOCKETS } what;
	struct guard_socket socket;
	int slot;	/* of the freezer */
};

/* What the guard holds itself. */
struct kept {
	ARRAY_OF(struct guard_socket) sockets;
	ARRAY_OF(int) processes;	/* pidfds */
	int freezers[GUARD_FREEZERS];	/* their directories, or -1 */
	int decision;	/* directory of what says whether it was decided; -1 */
	int writer;	/* pidfd of who writes that; -1 */
};

/* The guard's process: never returns. It owns the descriptors; `keep` (or -1) stays
 * under its number. */
__attribute__((noreturn)) void guard_run(struct board *board, int controller_pidfd, int socket,
					 int keep);
/* Removes what a restore has made, the latest first. */
void guard_remove_things(const struct board *board);
/* Those of them that are cgroups, once they are thawed. */
void guard_remove_cgroups(const struct board *board);
/* Takes everything back. */
void guard_repair(struct board *board, const struct kept *kept);

#endif
