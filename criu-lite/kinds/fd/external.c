/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A standard descriptor whose other end somebody outside of the tree holds, or a file that is not
 * on its mounts: the terminal, pipe or log that the program was started with. It cannot be brought
 * back; restore --stdio says what takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/external.pb-c.h"
#include "kinds/files.h"

static int external_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	FileCommon common;
	External m = EXTERNAL__INIT;

	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.standard = dump_file_standard(d, f);
	m.has_was = true;
	m.was.data = (uint8_t *)f->look.link;
	m.was.len = strlen(f->look.link);
	return dump_file_message(d, f, &m.base, err);
}

/* Our own descriptor of that number. One that must not block gets a description of its own where
 * that is possible, because whoever started us shares ours. */
static int inherit(const External *m)
{
	_cleanup_fd_ int fd = fcntl(m->standard, F_DUPFD_CLOEXEC, 0);
	uint32_t flags = m->common->flags;
	struct stat st;
	char path[32];
	int own;

	/* Only in the place of one that we were started without. */
	if (fd >= 0 && fcntl(fd, F_GETFL) & O_PATH)
		return -1;
	if (fd < 0 || !(flags & O_NONBLOCK) || fcntl(fd, F_GETFL) & O_NONBLOCK || fstat(fd, &st) ||
	    !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		return steal_fd(&fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own < 0 ? steal_fd(&fd) : own;
}

static int external_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const External *m = (const External *)f->message;

	if (m->standard > STDERR_FILENO)
		return error_set(err, ERROR_IMAGE, 0, "%u is no standard descriptor", m->standard);
	return 0;
}

static int external_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const struct restore *run = restore_files_run(r);
	const External *m = (const External *)f->message;
	int mode = m->common->flags & O_ACCMODE;
	const char *file = NULL;

	switch (restore_files_stdio(r, &file)) {
	case STDIO_INHERIT:
		f->fd = inherit(m);
		if (f->fd >= 0)
			return 0;
		/* We have none ourselves. */
		file = NULL;
		break;
	case STDIO_NULL:
		file = NULL;
		break;
	case STDIO_FILE:
		/* Who only reads would read what is written there. */
		if (mode == O_RDONLY)
			file = NULL;
		break;
	}
	f->fd = stdio_open(run, file, mode);
	if (f->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "standard descriptor %u: %s",
				 m->standard, file ? file : "/dev/null");
	/* Reading and writing through one description, it is always at the end of the file. */
	if (lseek(f->fd, 0, SEEK_END) < 0 && errno != ESPIPE)
		return error_set(err, ERROR_FAILED, errno, "standard descriptor %u: %s",
				 m->standard, file ? file : "/dev/null");
	return 0;
}

static const struct file_ops external_file = {
	.dump = external_dump,
	.verify = external_verify,
	.create = external_create,
};

const struct kind external_kind = {
	.name = "external",
	.record = 0x100,
	.scope = KIND_FILE,
	.message = &external__descriptor,
	.help = "standard descriptors that lead outside of the tree (restore --stdio replaces "
		"them)",
	.file = &external_file,
};
