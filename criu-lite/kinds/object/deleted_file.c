/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A regular file without a name: its content is carried. It is made again under the name that it
 * last had, or one beside it, and unlinked at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "images/deleted_file.pb-c.h"
#include "kinds/objects.h"

extern const struct kind deleted_file_kind;

enum { NS_PER_S = 1000000000, NAMES_TRIED = 100 };

static bool deleted_file_recognise(const struct object_look *look)
{
	return look->path[0] == '/' && S_ISREG(look->st.st_mode) && look->st.st_nlink == 0 &&
	       look->st.st_dev != object_shmem_device() && object_can_be_made(look);
}

static int deleted_file_dump(struct dump_objects *d, struct dump_object *o,
			     const struct object_look *look, struct error *err)
{
	DeletedFile m = DELETED_FILE__INIT;

	if (dump_object_content(o, look, err))
		return -1;
	m.id = o->id;
	m.path = (char *)look->path;
	m.mode = look->st.st_mode;
	m.uid = look->st.st_uid;
	m.gid = look->st.st_gid;
	m.size = o->size;
	m.mtime_ns = look->st.st_mtim.tv_sec * (int64_t)NS_PER_S + look->st.st_mtim.tv_nsec;
	return dump_object_message(d, o, &m.base, err);
}

/* Files of O_TMPFILE show as "/directory/#inode". */
static bool never_had_a_name(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return name[0] == '#' && name[1] && name[1 + strspn(name + 1, "0123456789")] == '\0';
}

/* A nameless file in the nearest directory above that is there. */
static int open_nameless(struct restore_objects *r, const char *path)
{
	_cleanup_free_ char *parent = strdup(path);

	while (parent) {
		char *slash = strrchr(parent, '/');
		int fd;

		slash[slash == parent] = '\0';
		fd = restore_objects_open_path(r, parent, O_RDWR | O_TMPFILE, 0600);
		if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR) || slash == parent)
			return fd;
	}
	return -1;
}

static int unlink_in_root(struct restore_objects *r, const char *path)
{
	_cleanup_free_ char *parent = strdup(path);
	_cleanup_fd_ int dir = -1;
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash)
		return -1;
	slash[slash == parent] = '\0';
	dir = restore_objects_open_path(r, parent, O_PATH | O_DIRECTORY, 0);
	return dir < 0 ? -1 : unlinkat(dir, strrchr(path, '/') + 1, 0);
}

/* The file has its name for a moment; if we die in it, the guard takes it away. */
static void tell_guard(struct restore_objects *r, const char *path)
{
	_cleanup_fd_ int there = restore_objects_open_path(r, path, O_PATH | O_NOFOLLOW, 0);
	_cleanup_free_ char *root = NULL, *absolute = NULL;
	_cleanup_error_ struct error too_many = ERROR_INIT;
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/root",
		 restore_objects_opener(r)->threads.items[0]->tracee.tid);
	if (there >= 0 || readlink_alloc(AT_FDCWD, link, &root))
		return;
	if (asprintf(&absolute, "%s%s", strcmp(root, "/") ? root : "", path) < 0)
		absolute = NULL;
	else if (guard_will_make(restore_objects_run(r)->guard, GUARD_FILE, 0, absolute, &too_many))
		log_info("%s", too_many.message);
}

static int open_and_unlink(struct restore_objects *r, const char *path)
{
	char other[PATH_MAX];
	int fd = -1, i;

	for (i = 0; i <= NAMES_TRIED; i++) {
		if (i && snprintf(other, sizeof(other), "%s.%d", path, i) >= (int)sizeof(other))
			break;
		tell_guard(r, i ? other : path);
		fd = restore_objects_open_path(r, i ? other : path, O_RDWR | O_CREAT | O_EXCL,
					       0600);
		if (fd >= 0 && unlink_in_root(r, i ? other : path)) {
			fd_close(&fd);
			break;
		}
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd;
}

static int deleted_file_create(struct restore_objects *r, struct restore_object *o,
			       struct error *err)
{
	const DeletedFile *m = (const DeletedFile *)o->message;

	if (m->path[0] != '/' || m->size > INT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "'%s' is no file", m->path);
	if (!never_had_a_name(m->path))
		o->fd = open_and_unlink(r, m->path);
	if (o->fd < 0)
		o->fd = open_nameless(r, m->path);
	if (o->fd < 0) {
		error_set(err, ERROR_FAILED, errno, "%s (deleted): cannot make it again", m->path);
		return error_hint(err, "its directory must be there and writable");
	}
	if (fchown(o->fd, m->uid, m->gid) || fchmod(o->fd, m->mode & 07777) ||
	    ftruncate(o->fd, m->size))
		return error_set(err, ERROR_FAILED, errno, "%s (deleted)", m->path);
	o->has_content = true;
	o->size = m->size;
	return 0;
}

static int deleted_file_finish(struct restore_objects *r, struct restore_object *o,
			       struct error *err)
{
	const DeletedFile *m = (const DeletedFile *)o->message;
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ m->mtime_ns / NS_PER_S, m->mtime_ns % NS_PER_S },
	};

	if (m->mtime_ns >= 0 && futimens(o->fd, times))
		return error_set(err, ERROR_FAILED, errno, "%s (deleted)", m->path);
	return 0;
}

static const struct object_ops deleted_file_ops = {
	.recognise = deleted_file_recognise,
	.dump = deleted_file_dump,
	.create = deleted_file_create,
	.finish = deleted_file_finish,
};

const struct kind deleted_file_kind = {
	.name = "deleted-file",
	.record = 0x31,
	.scope = KIND_OBJECT,
	.message = &deleted_file__descriptor,
	.help = "files that were deleted but are in use, with their content",
	.object = &deleted_file_ops,
};
