/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/cgroup/controllers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

enum { NAME_ROOM = 32 };

/* Each has properties of its own: "memory.max". */
static void enable_in(int dir, const CgroupDirectory *m)
{
	_cleanup_fd_ int fd = openat(dir, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
	char word[NAME_ROOM], before[NAME_ROOM] = "";
	size_t i;

	for (i = 0; fd >= 0 && i < m->n_properties; i++) {
		const char *name = m->properties[i]->name;
		size_t length = strcspn(name, ".");

		if (length + 2 > sizeof(word) || (length == 6 && !strncmp(name, "cgroup", 6)))
			continue;
		snprintf(word, sizeof(word), "+%.*s", (int)length, name);
		if (!strcmp(word, before))
			continue;
		if (write_full(fd, word, length + 1))
			log_debug("cgroup.subtree_control: %s: %s", word, strerror(errno));
		memcpy(before, word, sizeof(word));
	}
}

void controllers_enable(const char *directory, size_t top, const CgroupDirectory *m)
{
	char path[PATH_MAX];
	size_t length;

	for (length = top; directory[length]; length += 1 + strcspn(directory + length + 1, "/")) {
		_cleanup_fd_ int dir = -1;

		if (snprintf(path, sizeof(path), "%.*s", (int)length, directory) >=
		    (int)sizeof(path))
			return;
		dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0)
			enable_in(dir, m);
	}
}
