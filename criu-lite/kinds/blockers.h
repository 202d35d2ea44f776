/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_BLOCKERS_H
#define CL_KINDS_BLOCKERS_H

#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/*
 * What keeps a tree from being saved. All of them are collected before anything is touched, so
 * that the user learns them in one go.
 */
struct blocker {
	pid_t pid;
	char *object;	/* "descriptor 7 (socket:[1234])", "memory 7f00…-7f01…" */
	char *reason;	/* "io_uring instances cannot be saved" */
	char *remedy;	/* what the user can do; may be NULL */
};

struct blockers {
	ARRAY_OF(struct blocker) list;
};

/* Adds one; the object is printed from object_fmt. Returns 0, or -1 without memory. */
int blockers_add(struct blockers *b, pid_t pid, const char *reason, const char *remedy,
		 const char *object_fmt, ...) __attribute__((format(printf, 5, 6)));
/* Adds copies of those of another list. */
int blockers_add_all(struct blockers *b, const struct blockers *other, struct error *err);
/* Drops those that are not in `other` too. */
void blockers_keep(struct blockers *b, const struct blockers *other);
void blockers_release(struct blockers *b);
/* No blocker: 0. Else ERROR_BLOCKED with all of them in the message, one a line. */
int blockers_error(const struct blockers *b, struct error *err);

#endif
