/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NS_NAMESPACES_H
#define CL_KINDS_NS_NAMESPACES_H

#include "kinds/restore.h"

/* Which namespaces the image's tree has of its own: r->container.namespaces. ERROR_IMAGE for what
 * cannot be. */
int namespaces_load(struct restore *r, struct error *err);
/* Whether the rows that were loaded are about namespaces that the tree has of its own, and none
 * is missing (container_ops.of, .always). To be asked after each loading, before a row is called:
 * a row does what it says wherever it stands. ERROR_IMAGE. */
int namespaces_check(const struct restore *r, struct error *err);

/* The last id that was given out in the tree's own pid namespace; 0: not known. */
pid_t namespaces_last_pid(const struct restore *r);

/* For a process that will bear the tree's first process: the clocks of its children are to show
 * what the tree's showed, time_namespaces(7). */
int clocks_begin(const struct restore *r, struct error *err);
/* After the last round of a pre-copy: the puppets, which have no threads yet, were made when the
 * clocks showed less; they move to another time namespace. */
int clocks_again(struct restore *r, struct error *err);

/* --external ns[net]=/run/netns/x and the like: moves those of the namespaces of *c that are such
 * files from .namespaces to .joined. ERROR_USAGE for one that is none of them. */
int namespaces_given(struct container *c, struct error *err);
/* Enters those that the tree joins, for a process that will bear the first puppet. */
int namespaces_join(const struct restore *r, struct error *err);

#endif
