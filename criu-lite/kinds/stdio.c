/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/stdio.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "kinds/objects.h"

enum { NULL_DEVICE = 3 };

/* By the mounts of the tree: on our copy of them nobody would find it later. */
static int open_null(const struct restore *run, int flags)
{
	_cleanup_fd_ int there = restore_objects_open_path(run->objects, "/dev/null", O_PATH, 0);
	char path[32] = "/dev/null";
	struct stat st;

	if (there >= 0 && !fstat(there, &st) && S_ISCHR(st.st_mode) &&
	    st.st_rdev == makedev(1, NULL_DEVICE))
		snprintf(path, sizeof(path), "/proc/self/fd/%d", there);
	return open(path, flags | O_NOCTTY | O_CLOEXEC);
}

/* From within the namespaces of a tree: below what the command has as its working directory. */
static char *path_of(const struct container *c, const char *file)
{
	char *path;

	if (*file == '/')
		return container_host_path(c, file);
	if (c->host_self < 0)
		return strdup(file);
	return asprintf(&path, "/proc/self/fd/%d/cwd/%s", c->host_self, file) < 0 ? NULL : path;
}

int stdio_open(const struct restore *run, const char *file, int flags)
{
	_cleanup_free_ char *path = file ? path_of(&run->container, file) : NULL;

	if (!file)
		return open_null(run, flags);
	return path ? open(path, flags | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0666) : -1;
}
