/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_INSIDE_H
#define CL_STEPS_INSIDE_H

#include <stdbool.h>

#include "base/error.h"
#include "kinds/container.h"

/*
 * Work from within the namespaces of a tree (kinds/container.h). A process cannot come back from
 * some of them, so it is a child of ours that goes.
 */

/* Which of our namespaces the process `pid` does not share; opens what is needed of ours. Release
 * *ret also after a failure. */
int inside_look(struct container *ret, pid_t pid, struct error *err);
/* Opens what is needed of our namespaces, for a tree that will have these. */
int inside_open_host(struct container *c, struct error *err);
void container_release(struct container *c);

/* Memory for results, shared with what runs inside: zeroed, NULL without memory. */
void *inside_memory(size_t size);
void inside_memory_free(void *memory, size_t size);

struct inside {
	uint64_t namespaces;	/* CLONE_NEW… to enter; not CLONE_NEWUSER */
	int pidfd;		/* of a process that is in them … */
	int signaller;		/* … and gets the signals whose numbers are written to this
				 * eventfd(2), or -1 */
	/* Whether an id of the pid namespace is not to be used by those who come; may be NULL. */
	bool (*taken)(void *context, pid_t pid);
	void *context;
};

/*
 * Calls run(context, err) in a child that is in those namespaces and returns its result; changes
 * to anything but inside_memory() are its own. It ends with us. If it is killed because its pid
 * namespace ended, that is ERROR_DIED, unless *done (in inside_memory()) is set by then. Guards
 * that it has started have done their work when this returns.
 */
int inside_run(const struct inside *where, int (*run)(void *context, struct error *err),
	       void *context, const bool *done, struct error *err);
/* For the child, once the tree's mounts are there: goes on in a copy of them, private to it, with
 * /proc of the tree's pid namespace. */
int inside_see(struct error *err);

/* Runs this in sight of the tree of *c, whose first process has the number `pid` there. */
typedef int (*inside_work)(void *context, pid_t pid, struct error *err);
int inside_tree(const struct container *c, inside_work run, void *context, const bool *done,
		struct error *err);

#endif
