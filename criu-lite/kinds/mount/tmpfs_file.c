/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The content of a regular file in a tmpfs of the tree, whether or not anybody has it open. The
 * file itself is made with the mounts (kinds/mount/tmpfs.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "images/tmpfs_file.pb-c.h"
#include "kinds/mount/tmpfs.h"

enum {
	SETTABLE_FLAGS = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL,
	SMALL = 4096,		/* bytes that are worth no set of pages */
};

/* ---- dump ---- */

int tmpfs_file_dump(struct dump *d, int *fd, const struct stat *st, uint32_t file_system,
		    uint32_t entry, const char *path, bool covered, uint32_t inode_flags,
		    struct error *err)
{
	struct dump_object *o = dump_objects_add(d->objects, &tmpfs_file_kind, st, err);
	TmpfsFile m = TMPFS_FILE__INIT;
	uint8_t small[SMALL];
	ssize_t got;

	if (!o)
		return -1;
	m.id = o->id;
	m.file_system = file_system;
	m.entry = entry;
	m.size = st->st_size;
	m.path = (char *)path;
	m.has_covered = m.covered = covered;
	m.has_atime_ns = m.has_mtime_ns = true;
	m.atime_ns = st->st_atim.tv_sec * (int64_t)TMPFS_NS_PER_S + st->st_atim.tv_nsec;
	m.mtime_ns = st->st_mtim.tv_sec * (int64_t)TMPFS_NS_PER_S + st->st_mtim.tv_nsec;
	m.has_inode_flags = inode_flags & SETTABLE_FLAGS;
	m.inode_flags = inode_flags & SETTABLE_FLAGS;
	o->size = st->st_size;
	if (st->st_blocks && st->st_size <= SMALL) {
		got = pread_full(*fd, small, st->st_size, 0);
		if (got < 0)
			return error_set(err, ERROR_TARGET, errno, "cannot read it");
		m.has_data = true;
		m.data = (ProtobufCBinaryData){ got, small };
	} else if (st->st_blocks) {
		o->fd = steal_fd(fd);
		m.has_pages = m.pages = o->has_content = true;
	}
	return dump_object_message(d->objects, o, &m.base, err);
}

/* Nobody meets it: files are found by the kind mounts before descriptors and mappings are. */
static bool tmpfs_file_recognise(const struct object_look *look)
{
	return false;
}

/* ---- restore ---- */

static const struct tmpfs_content *content_of(struct restore_objects *r, const TmpfsFile *m)
{
	const struct tmpfs_contents *all = mounts_contents(restore_objects_run(r));
	const struct tmpfs_content *c;

	if (!all || m->file_system >= all->count)
		return NULL;
	c = &all->items[m->file_system];
	return m->entry < c->entries.count && !c->entries.items[m->entry]->has_link &&
			       S_ISREG(c->entries.items[m->entry]->mode) ?
		       c :
		       NULL;
}

/* By the path of the processes, so that what is mapped of it has their mount; where that is
 * read-only or covered, through the file system. */
static int open_for_filling(struct restore_objects *r, const struct tmpfs_content *c,
			    const TmpfsFile *m)
{
	_cleanup_fd_ int real = tmpfs_open(c, m->entry, O_RDWR);
	int fd = m->covered || real < 0 ? -1 : restore_objects_open_path(r, m->path, O_RDWR, 0);
	struct stat a, b;

	if (fd >= 0 && !fstat(fd, &a) && !fstat(real, &b) && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		return fd;
	fd_close(&fd);
	return steal_fd(&real);
}

static int give_times(int fd, const TmpfsFile *m)
{
	const struct timespec times[2] = {
		{ m->atime_ns / TMPFS_NS_PER_S, m->atime_ns % TMPFS_NS_PER_S },
		{ m->mtime_ns / TMPFS_NS_PER_S, m->mtime_ns % TMPFS_NS_PER_S },
	};

	return m->atime_ns >= 0 && m->mtime_ns >= 0 ? futimens(fd, times) : 0;
}

/* Not worth a visit to a puppet, though its page is charged to our cgroup. In a further round of a
 * pre-copy there may be something in it. */
static int write_small(const struct tmpfs_content *c, const TmpfsFile *m)
{
	_cleanup_fd_ int fd = tmpfs_open(c, m->entry, O_WRONLY);

	if (fd < 0 || ftruncate(fd, 0) || ftruncate(fd, m->size) ||
	    pwrite_full(fd, m->data.data, m->data.len, 0))
		return -1;
	return give_times(fd, m);
}

static int tmpfs_file_create(struct restore_objects *r, struct restore_object *o,
			     struct error *err)
{
	const TmpfsFile *m = (const TmpfsFile *)o->message;
	const struct tmpfs_content *c = content_of(r, m);

	if (!c || m->size > INT64_MAX || m->path[0] != '/' || m->data.len > m->size ||
	    m->data.len > SMALL)
		return error_set(err, ERROR_IMAGE, 0, "object %u is no file of a tmpfs", o->id);
	o->size = m->size;
	if (!m->pages && write_small(c, m))
		return error_set(err, ERROR_FAILED, errno, "%s", m->path);
	/* Who needs such a one opens it by its path. */
	if (!m->pages && !m->covered)
		return 0;
	o->fd = open_for_filling(r, c, m);
	if (o->fd < 0 || (m->pages && (ftruncate(o->fd, 0) || ftruncate(o->fd, m->size))))
		return error_set(err, ERROR_FAILED, errno, "%s", m->path);
	o->has_content = m->pages;
	return 0;
}

static const char *tmpfs_file_path(const struct restore_object *o)
{
	const TmpfsFile *m = (const TmpfsFile *)o->message;

	return m->covered ? NULL : m->path;
}

static int give_flags(struct restore_objects *r, const struct restore_object *o, const TmpfsFile *m)
{
	_cleanup_fd_ int own = -1;
	unsigned int flags = m->inode_flags & SETTABLE_FLAGS;

	if (!flags)
		return 0;
	/* An object that was kept in a further round has come with another message since. */
	if (o->fd < 0 && content_of(r, m))
		own = tmpfs_open(content_of(r, m), m->entry, O_RDONLY);
	return ioctl(o->fd < 0 ? own : o->fd, FS_IOC_SETFLAGS, &flags);
}

/* Being filled, it got new times; a set-user-id bit survives, because we may do that. */
static int tmpfs_file_finish(struct restore_objects *r, struct restore_object *o,
			     struct error *err)
{
	const TmpfsFile *m = (const TmpfsFile *)o->message;

	if (o->fd >= 0 && give_times(o->fd, m))
		return error_set(err, ERROR_FAILED, errno, "%s", m->path);
	if (give_flags(r, o, m))
		return error_set(err, ERROR_FAILED, errno, "%s: its flags (chattr)", m->path);
	/* Open for writing it would keep its file system from becoming read-only. */
	fd_close(&o->fd);
	return 0;
}

static const struct object_ops tmpfs_file_ops = {
	.recognise = tmpfs_file_recognise,
	.create = tmpfs_file_create,
	.finish = tmpfs_file_finish,
	.path = tmpfs_file_path,
};

const struct kind tmpfs_file_kind = {
	.name = "tmpfs-file",
	.record = 0x212,
	.scope = KIND_OBJECT,
	.message = &tmpfs_file__descriptor,
	.help = "the contents of files in the container's own tmpfs",
	.object = &tmpfs_file_ops,
};
