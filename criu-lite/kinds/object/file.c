/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has a path: regular files, directories, FIFOs, devices. The content stays where it is; a
 * restore finds it by the path and compares what tells whether it is still the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "images/file.pb-c.h"
#include "kinds/objects.h"

extern const struct kind file_kind;

enum { NS_PER_S = 1000000000, ZERO_DEVICE = 5 };

static int64_t mtime_of(const struct stat *st)
{
	return st->st_mtim.tv_sec * (int64_t)NS_PER_S + st->st_mtim.tv_nsec;
}

/* A private mapping of /dev/zero is anonymous memory with a name. */
static bool is_zero_device(const struct object_look *look)
{
	return S_ISCHR(look->st.st_mode) && look->st.st_rdev == makedev(1, ZERO_DEVICE);
}

static bool file_recognise(const struct object_look *look)
{
	if (look->path[0] != '/')
		return false;
	if (look->vma && !S_ISREG(look->st.st_mode))
		return is_zero_device(look);
	switch (look->st.st_mode & S_IFMT) {
	case S_IFREG:
		return look->st.st_nlink > 0 &&
		       !(look->deleted && (look->st.st_dev == object_shmem_device() ||
					   !object_can_be_made(look)));
	case S_IFDIR:
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK:
		return !look->deleted;
	}
	return false;
}

static bool same_file(int dir, const char *path, const struct object_look *look)
{
	struct stat st;

	return !fstatat(dir, path, &st, 0) && st.st_dev == look->st.st_dev &&
	       st.st_ino == look->st.st_ino;
}

bool object_leads_there(const struct object_look *look)
{
	char inside[PATH_MAX];

	if (same_file(AT_FDCWD, look->path, look))
		return true;
	return snprintf(inside, sizeof(inside), "root%s", look->path) < (int)sizeof(inside) &&
	       same_file(look->proc_fd, inside, look);
}

/* The file has lost the name under which it was opened, but another link is left: searched for in
 * the same directory. Returns 1 with a malloc'ed path, 0 when there is none. */
static int find_link(const struct object_look *look, char **ret)
{
	const char *slash = strrchr(look->path, '/');
	_cleanup_free_ char *parent = strndup(look->path, slash - look->path + 1);
	_cleanup_dir_ DIR *dir = parent ? opendir(parent) : NULL;
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_ino != look->st.st_ino || !same_file(dirfd(dir), entry->d_name, look))
			continue;
		return asprintf(ret, "%s%s", parent, entry->d_name) > 0;
	}
	return 0;
}

/* The path by which it is found again: look->path, or *found, which the caller frees. NULL when
 * there is none. */
static const char *path_of(const struct object_look *look, char **found)
{
	if (!look->deleted && object_leads_there(look))
		return look->path;
	return S_ISREG(look->st.st_mode) && find_link(look, found) ? *found : NULL;
}

static int file_check(const struct object_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_free_ char *found = NULL;
	char name[PATH_MAX];

	if (path_of(look, &found))
		return 0;
	if (blockers_add(blockers, look->pid, "its path leads elsewhere now",
			 "undo the rename or mount that hides it", "%s",
			 object_look_name(look, name, sizeof(name))))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int file_dump(struct dump_objects *d, struct dump_object *o, const struct object_look *look,
		     struct error *err)
{
	_cleanup_free_ char *found = NULL;
	File m = FILE__INIT;

	m.id = o->id;
	m.path = (char *)path_of(look, &found);
	if (!m.path)
		return error_set(err, ERROR_BLOCKED, 0, "its path leads elsewhere now");
	m.mode = look->st.st_mode;
	m.size = S_ISREG(look->st.st_mode) ? look->st.st_size : 0;
	m.mtime_ns = mtime_of(&look->st);
	m.has_rdev = S_ISCHR(look->st.st_mode) || S_ISBLK(look->st.st_mode);
	m.rdev = look->st.st_rdev;
	return dump_object_message(d, o, &m.base, err);
}

static int file_create(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const File *m = (const File *)o->message;
	struct stat st;

	if (m->path[0] != '/')
		return error_set(err, ERROR_IMAGE, 0, "'%s' is not a whole path", m->path);
	/* Only once it is known what it is, it is opened as such. */
	o->fd = restore_objects_open_path(r, m->path, O_PATH, 0);
	if (o->fd < 0 || fstat(o->fd, &st)) {
		error_set(err, ERROR_FAILED, errno, "%s", m->path);
		return error_hint(err, "the program had it open or mapped at the checkpoint");
	}
	if ((st.st_mode ^ m->mode) & S_IFMT ||
	    ((S_ISCHR(m->mode) || S_ISBLK(m->mode)) && st.st_rdev != m->rdev))
		return error_set(err, ERROR_FAILED, 0, "%s is another type of file than at the "
				 "checkpoint", m->path);
	o->size = m->size;
	return 0;
}

static const char *file_path(const struct restore_object *o)
{
	return ((const File *)o->message)->path;
}

int restore_object_check(struct restore_object *o, int flags, struct error *err)
{
	const File *m = (const File *)o->message;
	bool may_grow = (flags & O_ACCMODE) == O_WRONLY || flags & O_APPEND;
	struct stat st;

	if (o->kind != &file_kind || !S_ISREG(m->mode))
		return 0;
	if (fstat(o->fd, &st))
		return error_set(err, ERROR_FAILED, errno, "%s", m->path);
	if (may_grow ? (uint64_t)st.st_size >= m->size :
		       (uint64_t)st.st_size == m->size && mtime_of(&st) == m->mtime_ns)
		return 0;
	if ((uint64_t)st.st_size == m->size)
		error_set(err, ERROR_FAILED, 0, "%s was written to since the checkpoint", m->path);
	else
		error_set(err, ERROR_FAILED, 0, "%s has %lld bytes, at the checkpoint it had %llu",
			  m->path, (long long)st.st_size, (unsigned long long)m->size);
	return error_hint(err, "put the file back as it was");
}

static const struct object_ops file_ops = {
	.recognise = file_recognise,
	.check = file_check,
	.dump = file_dump,
	.create = file_create,
	.path = file_path,
};

const struct kind file_kind = {
	.name = "file",
	.record = 0x30,
	.scope = KIND_OBJECT,
	.message = &file__descriptor,
	.help = "files, directories and devices by their path; a file that changed is named",
	.object = &file_ops,
};
