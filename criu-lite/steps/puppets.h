/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_PUPPETS_H
#define CL_STEPS_PUPPETS_H

#include "kinds/restore.h"

/*
 * Puppets: processes that do what batches say until they have become the saved ones. The first is
 * a fork of this process, all others are born by batches in their parents. They end with us.
 */

/* Makes the area that every puppet is born with and the socket over which it gets descriptors. */
int puppets_prepare(struct restore *r, struct error *err);
/* Bears the root task in the namespaces that the tree has of its own, before anybody is in them:
 * r->container.host_pid, a child of this process that waits to be seized. *ret_pidfd is the
 * caller's. Its end is puppet_end_first(). */
int puppet_make_first(struct restore *r, int *ret_pidfd, struct error *err);
void puppet_end_first(struct restore *r, int pidfd);
/* The process of the root task. It tells us of its end by SIGCHLD, whatever it told its first
 * parent: another signal could end us. */
int puppet_make_root(struct restore *r, struct restore_task *root, struct error *err);
/* A child of `parent` with the pid that `child` has; with pid 0 any that no saved task uses. */
int puppet_make_child(struct restore_task *parent, struct restore_task *child, int exit_signal,
		      struct error *err);
/* The threads of a task beside its leader. */
int puppet_make_threads(struct restore_task *t, struct error *err);
/* Ends a puppet with this wait status; it is a zombie of its parent then. */
int puppet_exit(struct restore_task *t, int wait_status, struct error *err);
/* Ends the leading thread only; the others go on. */
int puppet_exit_leader(struct restore_task *t, int wait_status, struct error *err);
/* Stops a puppet as job control would; batches still run in it. */
int puppet_stop(struct restore_task *t, int signal, struct error *err);
/* Ends and reaps all puppets: after a failure. */
void puppets_kill(struct restore *r);
void puppets_kill_tasks(struct restore_task *const *tasks, size_t count);
/* The puppet of `former` goes on as t, with the same pid. */
void puppet_keep(struct restore_task *t, struct restore_task *former);
/* Frees the area and the socket. */
void puppets_release(struct restore *r);

/* Whether a process, thread, group or session of the image has this id. */
bool puppets_is_saved_id(const struct restore *r, pid_t pid);

#endif
