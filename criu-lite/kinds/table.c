/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every kind that criu-lite saves, in the order in which state is put back. One row a line.
 * Process and thread kinds: what needs privilege before what gives it up; seccomp filters last.
 */
#include "kinds/kind.h"

/* Objects: inodes that mappings and descriptors share. */
/* Open file descriptions. */
/* Processes and threads. */
extern const struct kind registers_kind;

const struct kind *const kinds_table[] = {
	&registers_kind,
	NULL,
};
