/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/stream.h"
#include "migrate/rootfs_check.h"
#include "migrate/rootfs_meta.h"
#include "migrate/rootfs_path.h"

enum { NEW_FILE = 0600, NEW_DIRECTORY = 0700 };

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "files");
}

static int no_sense(struct error *err)
{
	return error_set(err, ERROR_PEER, 0, "the source sends a change that makes no sense");
}

static void close_file(struct rootfs_target *t)
{
	fd_close(&t->file);
	free(t->file_path);
	t->file_path = NULL;
}

/* ---- names ---- */

/* What is there by this name, as we have made it. */
static struct rootfs_inode *inode_of(struct rootfs_target *t, const char *path)
{
	struct rootfs_name *name = rootfs_table_find(&t->table, path);

	return name ? name->inode : NULL;
}

static int remove_at(int parent, const char *name, const struct rootfs_inode *inode,
		     struct error *err)
{
	if (unlinkat(parent, name, S_ISDIR(inode->type) ? AT_REMOVEDIR : 0))
		return error_set(err, ERROR_FAILED, errno, "cannot remove it");
	return 0;
}

static int make_at(int parent, const char *name, const MigrateFiles__Entry *e, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	int r;

	switch (e->mode & S_IFMT) {
	case S_IFREG:
		r = fd = openat(parent, name,
				O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, NEW_FILE);
		break;
	case S_IFDIR:
		r = mkdirat(parent, name, NEW_DIRECTORY);
		break;
	case S_IFLNK:
		if (!e->target)
			return no_sense(err);
		r = symlinkat(e->target, parent, name);
		break;
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		r = mknodat(parent, name, (e->mode & S_IFMT) | NEW_FILE,
			    e->has_rdev ? e->rdev : 0);
		break;
	default:
		return no_sense(err);
	}
	return r < 0 ? error_set(err, ERROR_FAILED, errno, "cannot make it") : 0;
}

static int put_new(struct rootfs_target *t, const char *path, uint32_t type, struct error *err)
{
	struct rootfs_inode *inode =
		rootfs_table_add_inode(&t->table, ++t->next_number, type & S_IFMT, 0);

	if (!inode)
		return no_memory(err);
	return rootfs_table_put(&t->table, path, inode, err) ? 0 : -1;
}

static int make(struct rootfs_target *t, const char *path, const MigrateFiles__Entry *e,
		struct error *err)
{
	const struct rootfs_inode *there = inode_of(t, path);
	_cleanup_fd_ int parent = -1;
	const char *name;

	if (there && S_ISDIR(there->type) && S_ISDIR(e->mode))
		return 0;
	parent = rootfs_open_parent(t->root, path, &name);
	if (parent < 0)
		return error_set(err, ERROR_PEER, errno, "its directory");
	if ((there && remove_at(parent, name, there, err)) || make_at(parent, name, e, err))
		return -1;
	return put_new(t, path, e->mode, err);
}

static int link_to(struct rootfs_target *t, const char *path, const char *other, struct error *err)
{
	const struct rootfs_inode *there = inode_of(t, path);
	struct rootfs_inode *inode = inode_of(t, other);
	_cleanup_fd_ int parent = -1, from = -1;
	const char *name, *from_name;

	if (!inode || inode == there || S_ISDIR(inode->type))
		return no_sense(err);
	parent = rootfs_open_parent(t->root, path, &name);
	from = rootfs_open_parent(t->root, other, &from_name);
	if (parent < 0 || from < 0)
		return error_set(err, ERROR_PEER, errno, "its directory");
	if (there && remove_at(parent, name, there, err))
		return -1;
	if (linkat(from, from_name, parent, name, 0))
		return error_set(err, ERROR_FAILED, errno, "cannot link %s to it", other);
	return rootfs_table_put(&t->table, path, inode, err) ? 0 : -1;
}

static int removed(struct rootfs_target *t, const char *path, struct error *err)
{
	const struct rootfs_inode *there = inode_of(t, path);
	_cleanup_fd_ int parent = -1;
	const char *name;

	if (!there || !*path)
		return no_sense(err);
	parent = rootfs_open_parent(t->root, path, &name);
	if (parent < 0)
		return error_set(err, ERROR_PEER, errno, "its directory");
	if (remove_at(parent, name, there, err))
		return -1;
	rootfs_table_remove(&t->table, path);
	return 0;
}

/* ---- contents ---- */

/* Changes of one file follow each other. */
static int open_file(struct rootfs_target *t, const char *path, struct error *err)
{
	struct rootfs_inode *inode = inode_of(t, path);

	if (!inode || !S_ISREG(inode->type))
		return no_sense(err);
	inode->checked = false;
	if (t->file >= 0 && !strcmp(t->file_path, path))
		return 0;
	close_file(t);
	t->file = rootfs_open(t->root, path, O_RDWR);
	if (t->file < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open it");
	t->file_path = strdup(path);
	return t->file_path ? 0 : no_memory(err);
}

static int resize(struct rootfs_target *t, const char *path, uint64_t size, struct error *err)
{
	if (open_file(t, path, err))
		return -1;
	if (size > INT64_MAX)
		return no_sense(err);
	return ftruncate(t->file, size) ? error_set(err, ERROR_FAILED, errno, "its size") : 0;
}

static int make_hole(struct rootfs_target *t, uint64_t offset, uint64_t size, struct error *err)
{
	_cleanup_free_ char *zeros = NULL;

	if (!size || size > ROOTFS_CHUNK || offset > INT64_MAX - size)
		return no_sense(err);
	if (!fallocate(t->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size))
		return 0;
	zeros = calloc(1, size);
	if (!zeros)
		return no_memory(err);
	return pwrite_full(t->file, zeros, size, offset) ?
		       error_set(err, ERROR_FAILED, errno, "cannot write") :
		       0;
}

static int unpack(struct rootfs_target *t, const MigrateFiles__Data *d, const uint8_t **ret,
		  size_t *ret_size, struct error *err)
{
	int r;

	*ret = d->data.data;
	*ret_size = d->data.len;
	if (!d->has_unpacked)
		return 0;
	if (d->unpacked > ROOTFS_CHUNK)
		return no_sense(err);
	r = scratch_unpack(&t->scratch, d->data.data, d->data.len, d->unpacked, err);
	if (r <= 0)
		return r ? -1 : no_sense(err);
	*ret = t->scratch.raw.data;
	*ret_size = d->unpacked;
	return 0;
}

/* Read back, so that it is known to be there. */
static int check_data(struct rootfs_target *t, uint64_t offset, size_t size, uint64_t hash,
		      struct error *err)
{
	_cleanup_free_ uint8_t *back = malloc(size + 1);

	if (!back)
		return no_memory(err);
	if (pread_full(t->file, back, size, offset) != (ssize_t)size)
		return error_set(err, ERROR_FAILED, errno, "cannot read what was written");
	return XXH3_64bits(back, size) == hash ?
		       0 :
		       error_set(err, ERROR_FAILED, 0, "other contents than were sent");
}

static int write_data(struct rootfs_target *t, const char *path, const MigrateFiles__Data *d,
		      struct error *err)
{
	const uint8_t *data;
	size_t size;

	if (open_file(t, path, err))
		return -1;
	if (d->has_hole)
		return make_hole(t, d->offset, d->hole, err);
	if (!d->has_data || !d->has_hash || unpack(t, d, &data, &size, err))
		return err->message ? -1 : no_sense(err);
	if (!size || size > ROOTFS_CHUNK || d->offset > INT64_MAX - size)
		return no_sense(err);
	if (pwrite_full(t->file, data, size, d->offset))
		return error_set(err, ERROR_FAILED, errno, "cannot write");
	return check_data(t, d->offset, size, d->hash, err);
}

/* ---- the rest ---- */

static int set_entry(struct rootfs_target *t, const char *path, const MigrateFiles__Entry *e,
		     struct error *err)
{
	struct rootfs_inode *inode = inode_of(t, path);
	_cleanup_fd_ int parent = -1;
	const char *name = ".";

	if (!inode || inode->type != (e->mode & S_IFMT))
		return no_sense(err);
	parent = *path ? rootfs_open_parent(t->root, path, &name) :
			 rootfs_open(t->root, "", O_RDONLY | O_DIRECTORY);
	if (parent < 0)
		return error_set(err, ERROR_PEER, errno, "its directory");
	if (rootfs_meta_apply(parent, name, e, err))
		return -1;
	inode->digest = rootfs_meta_digest(e);
	inode->checked = false;
	return 0;
}

static int apply_one(struct rootfs_target *t, const MigrateFiles__Change *c, struct error *err)
{
	if (!rootfs_path_is_good(c->path))
		return error_set(err, ERROR_PEER, EINVAL, "the name of a file");
	if (!*c->path && !c->entry && !c->make)
		return no_sense(err);
	if (!c->data && !c->has_resize)
		close_file(t);
	if (c->make)
		return make(t, c->path, c->make, err);
	if (c->link)
		return link_to(t, c->path, c->link, err);
	if (c->has_resize)
		return resize(t, c->path, c->resize, err);
	if (c->data)
		return write_data(t, c->path, c->data, err);
	if (c->entry)
		return set_entry(t, c->path, c->entry, err);
	return c->has_removed && c->removed ? removed(t, c->path, err) : no_sense(err);
}

static int apply_all(struct rootfs_target *t, const MigrateFiles *m, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_changes; i++)
		if (apply_one(t, m->changes[i], err))
			return error_wrap(err, "root file system: %.200s", m->changes[i]->path);
	return 0;
}

static int finish_pass(struct rootfs_target *t, const MigrateFiles__End *end, struct error *err)
{
	close_file(t);
	if (t->table.count != end->names || rootfs_table_digest(&t->table) != end->digest)
		return error_set(err, ERROR_PEER, 0,
				 "root file system: %zu files have come, and %llu were sent, or "
				 "they are others", t->table.count,
				 (unsigned long long)end->names);
	if (rootfs_check(t->root, &t->table, end->last, err))
		return -1;
	t->whole = end->last;
	return 0;
}

int rootfs_target_apply(struct rootfs_target *t, const MigrateFiles *m, struct error *err)
{
	_cleanup_rootfs_meta_ int directory = -1;

	if (t->root < 0 || t->whole)
		return error_set(err, ERROR_PEER, 0, "the source sends files out of turn");
	/* Its root directory is there. */
	if (!inode_of(t, "") && put_new(t, "", S_IFDIR, err))
		return -1;
	if (rootfs_meta_begin(&directory, err) || apply_all(t, m, err))
		return -1;
	return m->end ? finish_pass(t, m->end, err) : 0;
}

int rootfs_target_check(const struct rootfs_target *t, struct error *err)
{
	return t->root < 0 || t->whole ?
		       0 :
		       error_set(err, ERROR_PEER, 0, "the root file system is not complete");
}

int rootfs_target_keep(struct rootfs_target *t, struct error *err)
{
	if (t->root < 0)
		return 0;
	return fremovexattr(t->root, ROOTFS_MARK) && errno != ENODATA && errno != ENOTSUP ?
		       error_set(err, ERROR_FAILED, errno, "root file system") :
		       0;
}

void rootfs_target_release(struct rootfs_target *t)
{
	close_file(t);
	rootfs_table_release(&t->table);
	scratch_release(&t->scratch);
	fd_close(&t->root);
}
