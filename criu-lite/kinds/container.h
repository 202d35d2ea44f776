/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CONTAINER_H
#define CL_KINDS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

/*
 * What a tree has as a whole, and the kinds for it (KIND_CONTAINER).
 *
 * The controller enters the tree's own namespaces (but for its user namespace, which cannot
 * be left again): from then on ids, paths, addresses and /proc mean to it what they mean to
 * the program. /proc and the mounts that it sees are a private copy, so nothing that it mounts
 * shows to the tree. What it needs of the machine it keeps in descriptors from before.
 */

struct dump;
struct restore;
struct kind;
struct task_look;
struct freezers;
struct blockers;
struct cgroups;
struct runtime_container;

/* --external mnt[/path]=/path-here: what lies outside of a container and where it is on this
 * machine. */
struct external {
	const char *name;	/* "mnt[/path]", with its length … */
	size_t length;
	const char *value;	/* … and what stands behind the "=" */
};

struct container {
	/* CLONE_NEW… of the namespaces that the tree has of its own; 0: it shares all of them with
	 * us. clone(2), namespaces(7). */
	uint64_t namespaces;
	/* The same of those that it was given from outside, and will be given again: they are
	 * entered and joined, not saved or made. */
	uint64_t joined;
	/* Of the caller's namespaces, opened before others were entered; -1 while there are no
	 * foreign ones: "/" (an absolute path of the machine is container_host_path()) and its
	 * network. */
	int host_root, host_net;
	/* /proc/self of the command, opened likewise; -1 while there are no foreign ones. */
	int host_self;
	/* The tree's root as the caller's pid namespace numbers it, and the start time that /proc
	 * shows to the caller (proc_stat.start_time); 0 until it is there. */
	pid_t host_pid;
	uint64_t host_start_time;
	/* Dump: the cgroups that the tree has for itself, kinds/cgroup/cgroups.h, and what its
	 * runtime knows of it; NULL: none. */
	const struct cgroups *cgroups;
	/* Dump: what was found from where paths and ids are those of the machine: the freezers of
	 * the tree, and what is against saving it. NULL: it is to be found where we are. */
	const struct freezers *freezers;
	const struct blockers *found;
	const struct runtime_container *runtime;
	/* As the options say; root is where its root file system is for a restore, or NULL. */
	const struct external *externals;
	size_t externals_count;
	const char *root;
	/* An eventfd(2): the caller sends the signal whose number is written there to that process,
	 * which takes none from within its pid namespace. -1 while there are no foreign ones. */
	int signaller;
};

#define CONTAINER_NONE \
	((struct container){ .host_root = -1, .host_net = -1, .host_self = -1, .signaller = -1 })

/* CLONE_NEW… of all that are not those of the caller. */
static inline uint64_t container_foreign(const struct container *c)
{
	return c->namespaces | c->joined;
}

/* What preflight shows of it. */
struct container_look {
	const struct container *container;
	const struct task_look *tasks;	/* root first */
	size_t count;
};

/* The same file as `path` (absolute) is on the machine, as a path that can be opened from where we
 * are ("/proc/self/fd/N/…"); malloc'ed, NULL without memory. */
char *container_host_path(const struct container *c, const char *path);

/* Keeps a message of a KIND_CONTAINER row: writes its record. */
int dump_container(struct dump *d, const struct kind *kind, const ProtobufCMessage *message,
		   struct error *err);

/* Calls the `dump` of all rows, their `dump_timed`, or their `dump_late`. */
enum container_turn { CONTAINER_FIRST, CONTAINER_TIMED, CONTAINER_LATE };
int dump_container_rows(struct dump *d, enum container_turn turn, struct error *err);

/* A pointer for a row's own use, NULL at first; what it points to is not freed by anybody else. */
void **restore_container_slot(struct restore *r, const struct kind *kind);

#endif
