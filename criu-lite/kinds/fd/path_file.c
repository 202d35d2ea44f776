/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/fd/path_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "images/path_file.pb-c.h"

/* Whether the path leads where the descriptor does. Paths of descriptors are seen from our own
 * root directory. */
static bool path_leads_there(const struct fd_look *look)
{
	struct stat st;
	int follow = S_ISLNK(look->st.st_mode) ? AT_SYMLINK_NOFOLLOW : 0;

	return look->link[0] == '/' && !fstatat(AT_FDCWD, look->link, &st, follow) &&
	       st.st_ino == look->st.st_ino && st.st_dev == look->st.st_dev;
}

int path_file_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	if (path_leads_there(look))
		return 0;
	if (blockers_add(blockers, look->pid, "it is not found under its path any more",
			 "put it back, or let the program close it", "descriptor %d (%s)",
			 look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

int path_file_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	const struct stat *st = &f->look.st;
	PathFile m = PATH_FILE__INIT;
	FileCommon common;

	if (!path_leads_there(&f->look))
		return error_set(err, ERROR_BLOCKED, 0, "%s is not found under its path any more",
				 dump_file_name(f));
	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.path.data = (uint8_t *)f->look.link;
	m.path.len = strlen(f->look.link);
	m.type = st->st_mode & S_IFMT;
	m.has_device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	m.device = st->st_rdev;
	return dump_file_message(d, f, &m.base, err);
}

int path_file_verify_path(const ProtobufCBinaryData *path, struct error *err)
{
	if (path->len && path->len < PATH_MAX && !memchr(path->data, '\0', path->len) &&
	    path->data[0] == '/')
		return 0;
	return error_set(err, ERROR_IMAGE, 0, "bad path");
}

int path_file_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return path_file_verify_path(&((const PathFile *)f->message)->path, err);
}

uint64_t path_file_string(const ProtobufCBinaryData *path, struct batch *b, struct error *err)
{
	char text[PATH_MAX];

	if (path_file_verify_path(path, err))
		return 0;
	memcpy(text, path->data, path->len);
	text[path->len] = '\0';
	return batch_string(b, text);
}

int path_file_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
		   struct error *err)
{
	const PathFile *m = (const PathFile *)f->message;
	uint64_t path = path_file_string(&m->path, b, err);
	int flags = m->common->flags & ~(O_ASYNC | O_CREAT | O_EXCL | O_TRUNC);

	if (!path)
		return -1;
	/* Its failure names the path, so it does not end the batch. */
	return batch_call(b, SYS_openat, AT_FDCWD, path, flags | O_NOCTTY | O_CLOEXEC);
}

int path_file_connect(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const PathFile *m = (const PathFile *)f->message;
	struct stat st;

	if (fstat(f->fd, &st))
		return error_set(err, ERROR_FAILED, errno, "%.*s", (int)m->path.len,
				 (const char *)m->path.data);
	if ((st.st_mode & S_IFMT) != m->type || (m->has_device && st.st_rdev != m->device))
		return error_set(err, ERROR_FAILED, 0, "%.*s is something else now",
				 (int)m->path.len, (const char *)m->path.data);
	if (m->common->position && lseek(f->fd, m->common->position, SEEK_SET) < 0)
		return error_set(err, ERROR_FAILED, errno, "%.*s: lseek to %lld", (int)m->path.len,
				 (const char *)m->path.data, (long long)m->common->position);
	return 0;
}
