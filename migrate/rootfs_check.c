/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "migrate/rootfs_meta.h"
#include "migrate/rootfs_path.h"

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

struct check {
	const struct rootfs_table *table;
	size_t seen;
	bool last;
	char path[PATH_MAX];
};

static int check_inode(struct check *c, int directory, const char *name,
		       struct rootfs_inode *inode, struct error *err)
{
	MigrateFiles__Entry *e;
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW))
		return error_set(err, ERROR_FAILED, errno, "root file system: /%s", c->path);
	if (rootfs_meta_read(directory, name, &st, &e, err))
		return error_wrap(err, "root file system: /%s", c->path);
	inode->checked = rootfs_meta_digest(e) == inode->digest;
	protobuf_c_message_free_unpacked(&e->base, NULL);
	if (inode->checked || !c->last)
		return 0;
	error_set(err, ERROR_FAILED, 0, "root file system: /%s is not as it was at the source",
		  c->path);
	return error_hint(err, "its file system may not keep all owners, modes, times or "
			       "attributes");
}

static int check_one(struct check *c, int directory, const char *name, bool *ret_directory,
		     struct error *err)
{
	const struct rootfs_name *wanted = rootfs_table_find(c->table, c->path);

	if (!wanted)
		return error_set(err, ERROR_FAILED, 0, "root file system: /%s has not come from "
				 "the source", c->path);
	*ret_directory = S_ISDIR(wanted->inode->type);
	c->seen++;
	return wanted->inode->checked ?
		       0 :
		       check_inode(c, directory, name, wanted->inode, err);
}

/* Takes over the directory. */
static int check_below(struct check *c, int fd, size_t length, int depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		close(fd);
		return error_set(err, ERROR_FAILED, errno, "/%s", c->path);
	}
	while ((entry = readdir(dir))) {
		bool directory = false;
		int below;

		if (is_dots(entry->d_name))
			continue;
		if (length + strlen(entry->d_name) + 2 > sizeof(c->path) ||
		    depth >= ROOTFS_DEPTH_MAX)
			return error_set(err, ERROR_FAILED, ENAMETOOLONG, "/%s", c->path);
		snprintf(c->path + length, sizeof(c->path) - length, "%s%s", length ? "/" : "",
			 entry->d_name);
		if (check_one(c, dirfd(dir), entry->d_name, &directory, err))
			return -1;
		if (directory) {
			below = rootfs_open(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY);
			if (below < 0)
				return error_set(err, ERROR_FAILED, errno, "/%s", c->path);
			if (check_below(c, below, strlen(c->path), depth + 1, err))
				return -1;
		}
		c->path[length] = '\0';
	}
	return 0;
}

int rootfs_check(int root, const struct rootfs_table *table, bool last, struct error *err)
{
	_cleanup_rootfs_meta_ int directory = -1;
	struct check c = { .table = table, .last = last };
	bool is_directory;
	int top;

	if (rootfs_meta_begin(&directory, err))
		return -1;
	if (check_one(&c, root, ".", &is_directory, err))
		return -1;
	top = rootfs_open(root, "", O_RDONLY | O_DIRECTORY);
	if (top < 0)
		return error_set(err, ERROR_FAILED, errno, "root file system");
	if (check_below(&c, top, 0, 0, err))
		return -1;
	return c.seen == table->count ? 0 :
					error_set(err, ERROR_FAILED, 0,
						  "root file system: %zu of %zu files are there",
						  c.seen, table->count);
}

/* Takes over the directory. */
static int empty(int fd, int depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		close(fd);
		return error_set(err, ERROR_FAILED, errno, "cannot empty it");
	}
	while ((entry = readdir(dir))) {
		int below;

		if (is_dots(entry->d_name) || !unlinkat(dirfd(dir), entry->d_name, 0))
			continue;
		if (errno != EISDIR || depth >= ROOTFS_DEPTH_MAX)
			return error_set(err, ERROR_FAILED, errno, "cannot remove %s",
					 entry->d_name);
		below = rootfs_open(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY);
		if (below < 0)
			return error_set(err, ERROR_FAILED, errno, "cannot empty %s",
					 entry->d_name);
		if (empty(below, depth + 1, err))
			return -1;
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR))
			return error_set(err, ERROR_FAILED, errno, "cannot remove %s",
					 entry->d_name);
	}
	return 0;
}

int rootfs_empty(int root, struct error *err)
{
	int top = rootfs_open(root, "", O_RDONLY | O_DIRECTORY);

	return top < 0 ? error_set(err, ERROR_FAILED, errno, "cannot empty it") :
			 empty(top, 0, err);
}
