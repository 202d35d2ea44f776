/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CGROUP_CGROUP_H
#define CL_KINDS_CGROUP_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "freeze/freezer.h"
#include "images/cgroup.pb-c.h"

/*
 * A restored tree gets its cgroups (kinds/cgroup/cgroups.h) back under the same paths, or where
 * --external cgroup[/path]=/path-here puts them, before there is a process of it. Without cgroups
 * of its own in the image all of these do nothing.
 */

struct container;
struct restore;
struct runtime_place;

/* Moves the calling process into the topmost ones, or those that are the root of the tree's cgroup
 * namespace: for the first puppet, just before it makes that. */
int cgroups_enter(struct restore *r, struct error *err);
/* Moves a puppet that has one thread yet, `pid` in our pid namespace, to where it was, before it
 * has memory of its own; and a thread. A puppet is born where its parent is. */
int cgroups_place_task(struct restore *r, pid_t pid, struct error *err);
int cgroups_place_thread(struct restore *r, pid_t tid, struct error *err);
/* The freezers of the topmost ones: .was_frozen tells how the tree was found. */
int cgroups_freezers(struct restore *r, struct freezers *ret, struct error *err);
/* A tree that was found frozen is to be so again: freezes it, when all of it is about to be let go.
 * The guard is told, so that the tree can be ended if we die before that. */
int cgroups_pause(struct restore *r, struct error *err);
/* It is not let go after all: thawed, it can be ended. */
void cgroups_end_pause(struct restore *r);
/* Whether this freezer is one that cgroups_pause() freezes. */
bool cgroups_stays_frozen(struct restore *r, const struct freezer *f);
/* Where the cgroups are here: place->cgroups, which stays ours. */
void cgroups_tell(struct restore *r, struct runtime_place *place);

/* Whether a tree that had this cgroup could have it here: its hierarchy is there, and nobody is in
 * it. ERROR_BLOCKED if not. */
int cgroups_check_place(const struct container *c, const char *controllers, const char *path,
			struct error *err);

/* ---- for the files of kinds/cgroup/ only ---- */

enum { CGROUP_DEPTH = 32, CGROUP_DIRECTORIES = 4096, CGROUP_HIERARCHIES = 64 };

/* The parts of the row (kind.h). */
int cgroup_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err);
int cgroup_build(struct restore *r, const ProtobufCMessage *message, struct error *err);
int cgroup_again(struct restore *r, const ProtobufCMessage *former,
		 const ProtobufCMessage *message, struct error *err);
int cgroup_finish(struct restore *r, const ProtobufCMessage *message, struct error *err);
void cgroup_undo(struct restore *r, const ProtobufCMessage *message);
/* Checks all that prepare relies on: ERROR_IMAGE. */
int cgroup_verify(const Cgroup *m, struct error *err);

#endif
