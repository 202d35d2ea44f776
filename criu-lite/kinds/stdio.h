/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_STDIO_H
#define CL_KINDS_STDIO_H

/* Where standard descriptors that led outside of the tree lead after a restore. */
enum stdio_policy {
	STDIO_INHERIT,	/* to our own of the same number */
	STDIO_NULL,	/* to /dev/null */
	STDIO_FILE,	/* output to a file, opened for append, made if missing; input from
			 * /dev/null */
};

struct restore;

/* Opens what takes their place: a file, for append, or with NULL the tree's own /dev/null (ours, if
 * it has none); flags are those of open(2). The file is the command's, wherever we are by now. -1
 * with errno. */
int stdio_open(const struct restore *run, const char *file, int flags);

#endif
