/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/task/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

enum { PATH_SIZE = 64 };

int thread_read_proc(const struct dump_thread *t, const char *file, struct buffer *ret,
		     struct error *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%d/%s", t->tid, file);
	if (read_file_at(AT_FDCWD, path, ret))
		return error_set(err, ERROR_TARGET, errno, "cannot read %s", path);
	return 0;
}

int puppet_write_proc(const struct restore_thread *t, const char *file, const char *text,
		      struct error *err)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%d/%s", t->tracee.tid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write_full(fd, text, strlen(text)))
		return error_set(err, ERROR_TARGET, errno, "task %d: cannot write \"%s\" to %s",
				 t->tid, text, file);
	return 0;
}
