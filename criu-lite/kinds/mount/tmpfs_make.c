/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes what a tmpfs held. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/calls.h"
#include "kinds/mount/mount_types.h"
#include "kinds/mount/tmpfs.h"
#include "kinds/mount/tmpfs_internal.h"

enum { ATTRIBUTE_NAME_MAX = 255, ATTRIBUTE_SIZE_MAX = 65536 };

/* ---- loading ---- */

static const char *wrong_entry(const struct tmpfs_content *c, const Tmpfs__Entry *e,
			       const uint16_t *depths)
{
	const Tmpfs__Entry *parent;
	size_t number = c->entries.count, length = e->name ? strlen(e->name) : 0;

	if (!number)
		return e->has_parent || e->has_link || !S_ISDIR(e->mode) ? "its root" : NULL;
	if (!e->has_parent || e->parent >= number)
		return "its directory";
	parent = c->entries.items[e->parent];
	if (parent->has_link || !S_ISDIR(parent->mode) || depths[e->parent] >= TMPFS_DEPTH_MAX)
		return "its directory";
	if (!length || length > NAME_MAX || strchr(e->name, '/') || !strcmp(e->name, ".") ||
	    !strcmp(e->name, ".."))
		return "its name";
	if (e->has_link)
		return e->link >= number || c->entries.items[e->link]->has_link ||
				       S_ISDIR(c->entries.items[e->link]->mode) ?
			       "what it is another name of" :
			       NULL;
	switch (e->mode & S_IFMT) {
	case S_IFLNK:
		return e->target && *e->target && strlen(e->target) < PATH_MAX ? NULL
									       : "its target";
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return NULL;
	}
	return "its type";
}

static const char *wrong_attributes(const Tmpfs__Entry *e)
{
	for (size_t i = 0; i < e->n_attributes; i++)
		if (!*e->attributes[i]->name ||
		    strlen(e->attributes[i]->name) > ATTRIBUTE_NAME_MAX ||
		    e->attributes[i]->value.len > ATTRIBUTE_SIZE_MAX)
			return "an attribute";
	return NULL;
}

static int add_part(struct tmpfs_content *c, const Tmpfs *m, uint16_t **depths,
		    struct error *err)
{
	size_t total = c->entries.count + m->n_entries;
	uint16_t *grown = realloc(*depths, (total + 1) * sizeof(**depths));

	if (!grown)
		return error_set(err, ERROR_FAILED, ENOMEM, "tmpfs");
	*depths = grown;
	for (size_t i = 0; i < m->n_entries; i++) {
		const Tmpfs__Entry *e = m->entries[i], **slot;
		const char *wrong = wrong_entry(c, e, grown);

		if (!wrong)
			wrong = wrong_attributes(e);
		if (wrong)
			return error_set(err, ERROR_IMAGE, 0,
					 "tmpfs %u: entry %zu (%s): %s is impossible",
					 m->file_system, c->entries.count, e->name ? e->name : "",
					 wrong);
		grown[c->entries.count] = c->entries.count ? grown[e->parent] + 1 : 0;
		slot = array_add(&c->entries);
		if (!slot)
			return error_set(err, ERROR_FAILED, ENOMEM, "tmpfs");
		*slot = e;
	}
	return 0;
}

static int load_one(struct restore_objects *r, uint32_t file_system, struct tmpfs_content *c,
		    struct error *err)
{
	const struct restore_object *o;
	uint16_t *depths = NULL;
	int failed = 0;

	for (size_t i = 0; !failed && r && (o = restore_objects_at(r, i)); i++) {
		const Tmpfs *m = (const Tmpfs *)o->message;

		if (o->kind == &tmpfs_kind && m->file_system == file_system)
			failed = add_part(c, m, &depths, err);
	}
	free(depths);
	return failed;
}

int tmpfs_load(struct restore_objects *r, const Mounts *m, struct tmpfs_contents *ret,
	       struct error *err)
{
	size_t i;

	*ret = (struct tmpfs_contents){ .count = m->n_file_systems };
	ret->items = calloc(ret->count + 1, sizeof(*ret->items));
	if (!ret->items)
		return error_set(err, ERROR_FAILED, ENOMEM, "tmpfs");
	for (i = 0; i < ret->count; i++)
		ret->items[i].root = -1;
	for (i = 0; i < ret->count; i++)
		if (mount_class(m->file_systems[i]->type) == MOUNT_MEMORY &&
		    load_one(r, i, &ret->items[i], err))
			return -1;
	return 0;
}

void tmpfs_contents_release(struct tmpfs_contents *contents)
{
	for (size_t i = 0; contents->items && i < contents->count; i++) {
		fd_close(&contents->items[i].root);
		array_release(&contents->items[i].entries);
	}
	free(contents->items);
	*contents = (struct tmpfs_contents){ 0 };
}

/* ---- finding ---- */

/* Step by step: the whole path may be longer than a path can be. */
int tmpfs_open_directory(const struct tmpfs_content *c, uint32_t number)
{
	uint32_t way[TMPFS_DEPTH_MAX + 1];
	size_t steps = 0;
	int fd = openat(c->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (; number && steps <= TMPFS_DEPTH_MAX; number = c->entries.items[number]->parent)
		way[steps++] = number;
	while (steps && fd >= 0) {
		const char *name = c->entries.items[way[--steps]]->name;
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		fd_close(&fd);
		fd = next;
	}
	return fd;
}

int tmpfs_open(const struct tmpfs_content *c, uint32_t entry, int flags)
{
	_cleanup_fd_ int dir = -1;

	if (entry >= c->entries.count || !entry || c->entries.items[entry]->has_link) {
		errno = EINVAL;
		return -1;
	}
	dir = tmpfs_open_directory(c, c->entries.items[entry]->parent);
	return dir < 0 ? -1 : openat(dir, c->entries.items[entry]->name,
				     flags | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- making ---- */

static int failed(const Tmpfs__Entry *e, const char *what, struct error *err)
{
	return error_set(err, ERROR_FAILED, errno, "%s: %s", e->name ? e->name : "/", what);
}

static int make_link(const struct tmpfs_content *c, int dir, const Tmpfs__Entry *e,
		     struct error *err)
{
	_cleanup_fd_ int fd = tmpfs_open(c, e->link, O_PATH);

	if (fd < 0 || linkat(fd, "", dir, e->name, AT_EMPTY_PATH))
		return failed(e, "cannot give it another name", err);
	return 0;
}

static int make_node(int dir, const Tmpfs__Entry *e)
{
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(dir, e->name, 0700);
	case S_IFLNK:
		return symlinkat(e->target, dir, e->name);
	}
	/* Regular files, too. */
	return mknodat(dir, e->name, (e->mode & S_IFMT) | 0600, e->rdev);
}

/* What the kernel, or a security module, has to say about labels of another machine. */
static bool may_fail(const char *name)
{
	return !strncmp(name, "security.", 9) && strcmp(name, "security.capability");
}

static int give_attributes(int dir, const Tmpfs__Entry *e, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	char link[64];

	if (!e->n_attributes)
		return 0;
	fd = openat(dir, e->name ? e->name : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed(e, "cannot open it", err);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < e->n_attributes; i++) {
		const Tmpfs__Attribute *a = e->attributes[i];

		if (setxattr(link, a->name, a->value.data, a->value.len, 0) && !may_fail(a->name))
			return failed(e, a->name, err);
	}
	return 0;
}

static int give_times(int dir, const Tmpfs__Entry *e)
{
	const struct timespec times[2] = {
		{ e->atime_ns / TMPFS_NS_PER_S, e->atime_ns % TMPFS_NS_PER_S },
		{ e->mtime_ns / TMPFS_NS_PER_S, e->mtime_ns % TMPFS_NS_PER_S },
	};

	if (e->atime_ns < 0 || e->mtime_ns < 0)
		return 0;
	return utimensat(dir, e->name ? e->name : ".", times, AT_SYMLINK_NOFOLLOW);
}

/* Owner before mode and attributes, which a change of it takes away. `dir` is the directory it is
 * in, or for the root itself. */
int tmpfs_give_state(int dir, const Tmpfs__Entry *e, struct error *err)
{
	const char *name = e->name ? e->name : ".";

	if (fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW))
		return failed(e, "owner", err);
	if (!S_ISLNK(e->mode) && fchmodat(dir, name, e->mode & 07777, 0))
		return failed(e, "mode", err);
	if (give_attributes(dir, e, err))
		return -1;
	return give_times(dir, e) ? failed(e, "times", err) : 0;
}

/* The directory that an entry is in: *dir, as long as it stays the same. */
int tmpfs_go_to(const struct tmpfs_content *c, const Tmpfs__Entry *e, uint32_t *current, int *dir)
{
	if (*dir >= 0 && *current == e->parent)
		return 0;
	fd_close(dir);
	*current = e->parent;
	*dir = tmpfs_open_directory(c, e->parent);
	return *dir < 0 ? -1 : 0;
}

/* Directories get their state when all is in them: what they pass on is not wanted. */
static int give_directories(const struct tmpfs_content *c, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	for (size_t i = c->entries.count; i-- > 0;) {
		const Tmpfs__Entry *e = c->entries.items[i];

		if (e->has_link || !S_ISDIR(e->mode))
			continue;
		if (i ? tmpfs_go_to(c, e, &current, &dir) : (fd_close(&dir), 0))
			return failed(e, "cannot open its directory", err);
		if (tmpfs_give_state(i ? dir : c->root, e, err))
			return -1;
	}
	return 0;
}

int tmpfs_make_entry(const struct tmpfs_content *c, int dir, const Tmpfs__Entry *e,
		     struct error *err)
{
	if (e->has_link)
		return make_link(c, dir, e, err);
	if (make_node(dir, e))
		return failed(e, "cannot make it", err);
	return S_ISDIR(e->mode) ? 0 : tmpfs_give_state(dir, e, err);
}

int tmpfs_make(struct tmpfs_content *c, int fd, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	if (!c->entries.count)
		return 0;
	c->root = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root < 0)
		return error_set(err, ERROR_FAILED, errno, "tmpfs");
	for (size_t i = 1; i < c->entries.count; i++) {
		const Tmpfs__Entry *e = c->entries.items[i];

		if (tmpfs_go_to(c, e, &current, &dir))
			return failed(e, "cannot open its directory", err);
		if (tmpfs_make_entry(c, dir, e, err))
			return -1;
	}
	return give_directories(c, err);
}

/* Whoever watches it would hear of a change. */
static bool has_times(int dir, const Tmpfs__Entry *e)
{
	struct stat st;

	return !fstatat(dir, e->name ? e->name : ".", &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_mtim.tv_sec * (int64_t)TMPFS_NS_PER_S + st.st_mtim.tv_nsec == e->mtime_ns;
}

int tmpfs_settle(struct tmpfs_content *c, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	for (size_t i = c->entries.count; i-- > 0 && c->root >= 0;) {
		const Tmpfs__Entry *e = c->entries.items[i];

		if (e->has_link || !S_ISDIR(e->mode))
			continue;
		if (i && tmpfs_go_to(c, e, &current, &dir))
			return failed(e, "cannot open its directory", err);
		if (!has_times(i ? dir : c->root, e) && give_times(i ? dir : c->root, e))
			return failed(e, "times", err);
	}
	return 0;
}
