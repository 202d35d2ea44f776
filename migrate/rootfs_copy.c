/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/cleanup.h"
#include "migrate/rootfs_check.h"
#include "migrate/rootfs_meta.h"
#include "migrate/rootfs_path.h"

enum {
	PASSES_MAX = 8,
	FEW_BYTES = 4 << 20,	/* that may be left for the freeze … */
	FEW_CHANGES = 2000,
	SETTLED_MS = 1000,	/* two changes within this may have the same time */
};

struct visit {
	struct rootfs_copy *copy;
	int directory;
	const char *name, *path;
	struct stat st;
	int64_t btime_ns;
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "files");
}

/* ---- one file ---- */

/* 0: it is gone. */
static int look(struct visit *v, struct error *err)
{
	const struct statx_timestamp *b;
	struct statx st;

	if (statx(v->directory, v->name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
		  &st))
		return errno == ENOENT ? 0 : error_set(err, ERROR_TARGET, errno, "stat");
	v->st = (struct stat){
		.st_mode = st.stx_mode,
		.st_ino = st.stx_ino,
		.st_uid = st.stx_uid,
		.st_gid = st.stx_gid,
		.st_size = st.stx_size,
		.st_rdev = makedev(st.stx_rdev_major, st.stx_rdev_minor),
		.st_atim = { st.stx_atime.tv_sec, st.stx_atime.tv_nsec },
		.st_mtim = { st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec },
		.st_ctim = { st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec },
	};
	b = &st.stx_btime;
	v->btime_ns = st.stx_mask & STATX_BTIME ?
			      b->tv_sec * (int64_t)ROOTFS_NS_PER_S + b->tv_nsec :
			      0;
	return 1;
}

/* Or is another one since it was looked at: the next pass finds what. */
static bool is_gone(const struct error *err)
{
	return err->kind == ERROR_TARGET && (err->os_error == ENOENT || err->os_error == EINVAL ||
					     err->os_error == ENOTDIR);
}

static bool is_settled(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return rootfs_ns(&st->st_ctim) < rootfs_ns(&now) - SETTLED_MS * 1000000ll;
}

static bool is_mapped(const struct rootfs_copy *c, uint64_t number)
{
	size_t i;

	for (i = 0; i < c->mapped.count; i++)
		if (c->mapped.items[i] == number)
			return true;
	return false;
}

/* The directory that it is in has another time at the destination now. */
static void touch_parent(struct rootfs_copy *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct rootfs_name *parent;
	char text[PATH_MAX];

	if (!*path)
		return;
	snprintf(text, sizeof(text), "%.*s", slash ? (int)(slash - path) : 0, path);
	parent = rootfs_table_find(&c->table, text);
	if (parent)
		parent->inode->touched = true;
}

static int remove_name(struct rootfs_copy *c, const char *path, struct error *err)
{
	if (rootfs_send_removed(&c->sender, path, err))
		return -1;
	touch_parent(c, path);
	rootfs_table_remove(&c->table, path);
	return 0;
}

/* A directory that is none any more: what the destination has in it goes first. */
static int remove_below(struct rootfs_copy *c, const char *path, struct error *err)
{
	size_t length = strlen(path), count, i;
	_cleanup_free_ struct rootfs_name **all = rootfs_table_unseen(&c->table, c->pass, &count);
	int r = 0;

	if (!all)
		return no_memory(err);
	for (i = 0; i < count && !r; i++)
		if (!strncmp(all[i]->path, path, length) && all[i]->path[length] == '/')
			r = remove_name(c, all[i]->path, err);
	return r;
}

/* The path leads to another file than it did, or to one at last. */
static int bring_name(struct visit *v, struct rootfs_inode *known, struct rootfs_inode **ret,
		      struct error *err)
{
	struct rootfs_copy *c = v->copy;
	struct rootfs_name *name = rootfs_table_find(&c->table, v->path);
	uint32_t type = v->st.st_mode & S_IFMT;
	MigrateFiles__Entry *entry;

	if (name && S_ISDIR(name->inode->type) && !S_ISDIR(type) && remove_below(c, v->path, err))
		return -1;
	touch_parent(c, v->path);
	*ret = known;
	if (known && !S_ISDIR(type)) {
		if (rootfs_send_link(&c->sender, v->path, known->names->path, err))
			return -1;
	} else {
		if (rootfs_meta_read(v->directory, v->name, &v->st, &entry, err) ||
		    rootfs_send_make(&c->sender, v->path, entry, err))
			return -1;
		*ret = rootfs_table_add_inode(&c->table, v->st.st_ino, type, v->btime_ns);
		if (!*ret)
			return no_memory(err);
	}
	return rootfs_table_put(&c->table, v->path, *ret, err) ? 0 : -1;
}

/* Of a directory it goes when nothing is made in it any more. */
static int bring_entry(struct visit *v, struct rootfs_name *name, MigrateFiles__Entry *entry,
		       bool changed, struct error *err)
{
	struct rootfs_inode *inode = name->inode;
	uint64_t digest = rootfs_meta_digest(entry);
	struct rootfs_late *late;

	changed |= inode->digest != digest;
	inode->digest = digest;
	if (S_ISDIR(entry->mode)) {
		late = array_add(&v->copy->late);
		if (late) {
			*late = (struct rootfs_late){ name, entry };
			inode->touched |= changed;
			return 0;
		}
		protobuf_c_message_free_unpacked(&entry->base, NULL);
		return no_memory(err);
	}
	if (changed)
		return rootfs_send_entry(&v->copy->sender, v->path, entry, err);
	protobuf_c_message_free_unpacked(&entry->base, NULL);
	return 0;
}

static int bring_inode(struct visit *v, struct rootfs_name *name, struct error *err)
{
	struct rootfs_inode *inode = name->inode;
	int64_t ctime_ns = rootfs_ns(&v->st.st_ctim);
	bool changed = !inode->pass || inode->unsettled || inode->ctime_ns != ctime_ns ||
		       is_mapped(v->copy, inode->number);
	MigrateFiles__Entry *entry;
	bool again = inode->pass != 0;
	uint64_t sent = v->copy->sender.all_bytes + v->copy->sender.bytes;

	if (inode->pass == v->copy->pass)
		return 0;
	inode->pass = v->copy->pass;
	/* Those of directories are wanted when something is done in them. */
	if (!changed && !S_ISDIR(v->st.st_mode))
		return 0;
	if (rootfs_meta_read(v->directory, v->name, &v->st, &entry, err)) {
		if (!is_gone(err))
			return -1;
		error_clear(err);
		inode->unsettled = true;
		return 0;
	}
	inode->ctime_ns = ctime_ns;
	inode->unsettled = !is_settled(&v->st);
	inode->size = v->st.st_size;
	if (S_ISREG(v->st.st_mode) &&
	    rootfs_copy_content(v->copy, v->directory, v->name, v->path, inode, err)) {
		protobuf_c_message_free_unpacked(&entry->base, NULL);
		return -1;
	}
	changed = !again || v->copy->sender.all_bytes + v->copy->sender.bytes != sent;
	return bring_entry(v, name, entry, changed, err);
}

/* 0: it is gone, 1: it is there. */
static int bring(struct visit *v, struct error *err)
{
	struct rootfs_copy *c = v->copy;
	struct rootfs_inode *inode;
	struct rootfs_name *name;
	int there = look(v, err);

	if (there <= 0)
		return there;
	name = rootfs_table_find(&c->table, v->path);
	/* A directory that changes may be read twice. */
	if (name && name->pass == c->pass)
		return 0;
	inode = rootfs_table_inode(&c->table, v->st.st_ino, v->st.st_mode & S_IFMT, v->btime_ns);
	if (!name || name->inode != inode) {
		if (bring_name(v, inode, &inode, err)) {
			if (!is_gone(err))
				return -1;
			error_clear(err);
			return 0;
		}
		name = rootfs_table_find(&c->table, v->path);
	}
	name->pass = c->pass;
	return bring_inode(v, name, err) ? -1 : 1;
}

/* ---- all of them ---- */

static int bring_below(struct rootfs_copy *c, int fd, char *path, int depth, struct error *err);

static int bring_one(struct rootfs_copy *c, int directory, const char *name, char *path, int depth,
		     struct error *err)
{
	struct visit v = { .copy = c, .directory = directory, .name = name, .path = path };
	int there = bring(&v, err), below;

	if (there < 0)
		return error_wrap(err, "root file system: /%s", path);
	if (!there || !S_ISDIR(v.st.st_mode))
		return rootfs_send_life(&c->sender, err);
	below = openat(directory, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (below < 0 && errno == EPERM)
		below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ?
			       0 :
			       error_set(err, ERROR_TARGET, errno, "root file system: /%s", path);
	if (depth == ROOTFS_DEPTH_MAX) {
		close(below);
		return error_set(err, ERROR_BLOCKED, 0,
				 "root file system: /%s is more than %d directories deep", path,
				 ROOTFS_DEPTH_MAX);
	}
	return bring_below(c, below, path, depth + 1, err);
}

/* Takes over the directory; path, which has PATH_MAX bytes, stays as it is. */
static int bring_below(struct rootfs_copy *c, int fd, char *path, int depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	size_t length = strlen(path);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		close(fd);
		return error_set(err, ERROR_FAILED, errno, "root file system: /%s", path);
	}
	while (!r && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (length + strlen(entry->d_name) + 2 > PATH_MAX)
			return error_set(err, ERROR_BLOCKED, ENAMETOOLONG,
					 "root file system: /%s/%s", path, entry->d_name);
		snprintf(path + length, PATH_MAX - length, "%s%s", length ? "/" : "",
			 entry->d_name);
		r = bring_one(c, dirfd(dir), entry->d_name, path, depth, err);
		path[length] = '\0';
	}
	return r;
}

static int remove_others(struct rootfs_copy *c, struct error *err)
{
	size_t count, i;
	_cleanup_free_ struct rootfs_name **all = rootfs_table_unseen(&c->table, c->pass, &count);

	if (!all)
		return no_memory(err);
	for (i = 0; i < count; i++)
		if (remove_name(c, all[i]->path, err))
			return -1;
	return 0;
}

/* A directory that went meanwhile is no name any more: it was not seen, or seen before. */
static int bring_late(struct rootfs_copy *c, struct error *err)
{
	struct rootfs_late *late;

	array_for(late, &c->late) {
		struct rootfs_inode *inode = late->name->inode;
		MigrateFiles__Entry *entry = steal_ptr(late->entry);

		if (!inode->touched) {
			protobuf_c_message_free_unpacked(&entry->base, NULL);
			continue;
		}
		inode->touched = false;
		if (rootfs_send_entry(&c->sender, late->name->path, entry, err))
			return -1;
	}
	return 0;
}

static void forget_late(struct rootfs_copy *c)
{
	struct rootfs_late *late;

	array_for(late, &c->late)
		if (late->entry)
			protobuf_c_message_free_unpacked(&late->entry->base, NULL);
	c->late.count = 0;
}

int rootfs_copy_pass(struct rootfs_copy *c, bool last, struct error *err)
{
	_cleanup_rootfs_meta_ int directory = -1;
	char path[PATH_MAX] = "";
	int r;

	c->pass++;
	c->sender.all_bytes = c->sender.all_changes = 0;
	if (rootfs_meta_begin(&directory, err))
		return -1;
	r = bring_one(c, c->root, ".", path, 0, err) || remove_others(c, err) ||
			    bring_late(c, err) ||
			    rootfs_send_end(&c->sender, c->table.count,
					    rootfs_table_digest(&c->table), last, err) ?
		    -1 :
		    0;
	forget_late(c);
	return r;
}

int rootfs_copy_passes(struct rootfs_copy *c, struct error *err)
{
	uint64_t before = UINT64_MAX;
	int i;

	for (i = 0; i < PASSES_MAX; i++) {
		const struct rootfs_sender *s = &c->sender;

		if (rootfs_copy_pass(c, false, err))
			return -1;
		if ((s->all_bytes <= FEW_BYTES && s->all_changes <= FEW_CHANGES) ||
		    s->all_bytes > before / 4 * 3)
			return 0;
		before = s->all_bytes;
	}
	return 0;
}

/* ---- from begin to end ---- */

int rootfs_copy_open(struct rootfs_copy *c, const char *path, struct link *link,
		     const struct stream_options *stream, struct error *err)
{
	_cleanup_fd_ int mount = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	*c = (struct rootfs_copy){
		.root = mount < 0 ? -1 : rootfs_open(mount, "", O_RDONLY | O_DIRECTORY),
		.sender = {
			.link = link,
			.kind = MESSAGE_FILES,
			.packs = stream->codec == CODEC_ZSTD,
			.level = stream->level,
		},
		.buffer = malloc(ROOTFS_CHUNK),
	};
	if (c->root < 0)
		return error_set(err, ERROR_TARGET, errno, "root file system %s", path);
	return c->buffer ? 0 : no_memory(err);
}

void rootfs_copy_release(struct rootfs_copy *c)
{
	forget_late(c);
	array_release(&c->late);
	array_release(&c->mapped);
	rootfs_sender_release(&c->sender);
	rootfs_table_release(&c->table);
	free(c->buffer);
	c->buffer = NULL;
	fd_close(&c->root);
}
