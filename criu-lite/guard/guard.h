/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_GUARD_GUARD_H
#define CL_GUARD_GUARD_H

#include "base/error.h"
#include "tracee/agent.h"

/*
 * A small process that waits for our death and then takes back what outlives us in others: agents
 * and nets in processes, a twin's zombie, the state of a cgroup's freezer, modes of sockets,
 * files. It is told of each effect before the effect is made, through memory that both share.
 *
 * If the guard itself is killed, guard_check() fails from then on; what it would have done is up to
 * us again, as it is whenever we live.
 *
 * All functions that take a guard accept NULL: then nobody is told.
 */

struct guard;

/* Forks the guard. Other threads of ours are not in it; it prints nothing.
 * With `keep`, a descriptor of ours that paths told to it may begin with ("/proc/self/fd/N"; else
 * -1), it is a child of our parent, which reaps it: ours would become, when we die, a child of the
 * first process of the pid namespace that we stand in, and its end would show there. With that
 * namespace it ends, too; what it knows of the machine is then up to our parent. In that namespace
 * it has the id `pid`, if that is not 0 (os_error EEXIST: somebody else has it). */
int guard_start(struct guard **ret, int keep, pid_t pid, struct error *err);
pid_t guard_pid(const struct guard *g);
/* Nothing is left to be taken back: ends the guard. */
void guard_end(struct guard *g);
/* The same as far as what it would do is concerned, also for one that is not our child: it ends
 * with whom it guards, and does nothing. */
void guard_dismiss(struct guard *g);
/* It would do its work again. */
void guard_recall(struct guard *g);
/* ERROR_FAILED when the guard is gone. */
int guard_check(const struct guard *g, struct error *err);

/* A process that we are about to freeze or hold; the same note for the same one. *ret is for its
 * agent_site, valid until guard_end() or guard_forget(), NULL without a guard; its .start_time
 * is to be filled in when it is known. */
int guard_watch(struct guard *g, pid_t pid, struct agent_note **ret, struct error *err);

/* Nothing is held any more: the notes are not valid from now on. */
void guard_forget(struct guard *g);

/* A cgroup's freezer. */
struct guard_freezer {
	int dir;		/* its directory; the guard gets a duplicate */
	const char *file;	/* the name in there */
	const char *thaw, *freeze;	/* what is written into it */
	bool stops_frozen;	/* tasks stop for a tracer while they are frozen */
	bool was_frozen;	/* how it shall be in the end */
};
enum { GUARD_FREEZERS = 2 };
/* Freezer `slot` (below GUARD_FREEZERS) may be otherwise than it shall be … */
int guard_freezer_moves(struct guard *g, int slot, const struct guard_freezer *f,
			struct error *err);
/* … or is as it shall be. */
void guard_freezer_rests(struct guard *g, int slot);

/* A socket that is about to have TCP_REPAIR or SO_PEEK_OFF set, and how it shall be in the end
 * (repair mode overwrites SO_REUSEADDR). */
struct guard_socket {
	int fd, reuse, peek_offset;
};
/* The guard gets a duplicate … */
int guard_keep_socket(struct guard *g, const struct guard_socket *s, struct error *err);
/* … and closes all of them, which are as they were. Returns when they are closed. */
int guard_drop_sockets(struct guard *g, struct error *err);

/* A process that dies when we die, until guard_end(): by a descriptor of pidfd_open(2), which the
 * guard duplicates. */
int guard_keep_process(struct guard *g, int pidfd, struct error *err);

/* The image is complete, and the processes that are watched are about to be ended: if we die now,
 * the guard ends them and takes nothing back. Sockets in repair mode are closed in it. */
void guard_will_end(struct guard *g);

/* The tree that was restored runs on from now on, also if we die: then the guard takes nothing back
 * but repair mode of sockets and the packet lock of this name (or NULL). */
int guard_will_go(struct guard *g, const char *lock, struct error *err);

/* Where it is written down that the tree is not to be ended any more. */
struct guard_decision {
	int dir;		/* a directory, … */
	const char *file;	/* … and a file in there, which is replaced as a whole: … */
	const char *word;	/* … it was decided if this is in it */
	int writer;		/* pidfd of who writes it */
	int lock;		/* a descriptor that keeps others off: stays open in the guard */
};
/* If we die, the guard waits for the end of the writer and reads. If it was not decided it takes
 * everything back; if it was, or that cannot be known, it does what guard_will_go() says if that
 * was called, else nothing. */
int guard_will_ask(struct guard *g, const struct guard_decision *d, struct error *err);
/* Anything that shall stay open while the guard lives. */
int guard_keep_open(struct guard *g, int fd, struct error *err);

/* What a restore makes outside of its puppets. */
enum guard_thing {
	GUARD_FILE,
	GUARD_DIRECTORY,	/* a private one: with all that is in it */
	GUARD_CGROUP,		/* once those in it have ended */
	GUARD_MQUEUE,		/* its path is the name that mq_unlink(3) takes */
	GUARD_SHM, GUARD_SEM, GUARD_MSG,	/* System V, by id */
	GUARD_LOCK,	/* a packet lock that stays; its path is its name */
};
/* A thing that is not there yet, is about to be made, and is to go when we die. Files have an
 * absolute path, the others an id. */
int guard_will_make(struct guard *g, enum guard_thing thing, int id, const char *path,
		    struct error *err);

#endif
