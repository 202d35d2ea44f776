/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_BASE_CLEANUP_H
#define CL_BASE_CLEANUP_H

/*
 * Ownership that shows at the declaration: a variable marked with one of these is released when
 * it goes out of scope. Hand it on with steal_ptr() / steal_fd().
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_p(void *p)
{
	free(*(void **)p);
}

/* Closes *fd when it is >= 0 and sets it to -1; errno survives. */
void fd_close(int *fd);

static inline void cleanup_file_p(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_dir_p(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_free_ __attribute__((cleanup(cleanup_free_p)))
#define _cleanup_fd_ __attribute__((cleanup(fd_close)))
#define _cleanup_file_ __attribute__((cleanup(cleanup_file_p)))
#define _cleanup_dir_ __attribute__((cleanup(cleanup_dir_p)))

#define steal_ptr(p)                      \
	({                                \
		__typeof__(p) _taken = (p); \
		(p) = NULL;               \
		_taken;                   \
	})

static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
