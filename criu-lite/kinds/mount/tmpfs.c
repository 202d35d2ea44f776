/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tmpfs holds but for the contents of files: names, owners, modes, times, attributes. */
#include "kinds/mount/tmpfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "images/tmpfs.pb-c.h"
#include "kernel-compat/calls.h"

enum {
	PART_ENTRIES = 4096,
	PART_BYTES = 1 << 20,
	NAME_BUCKETS = 1024,
	NAMES_SIZE = 65536,	/* of all extended attributes of a file, xattr(7) */
};

/* A file that has more names. */
struct linked {
	struct linked *next;
	ino_t inode;
	uint32_t number;
};

struct walk {
	struct dump *dump;
	uint32_t file_system, count;
	const struct tmpfs_view *view;
	ARRAY_OF(Tmpfs__Entry) entries;	/* of the part that is gathered */
	ARRAY_OF(char *) strings;	/* that they point to */
	size_t bytes;
	struct linked *linked[NAME_BUCKETS];
	char path[PATH_MAX];		/* of where we are, as processes see it */
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "tmpfs");
}

/* ---- gathering ---- */

static void part_release(struct walk *w)
{
	Tmpfs__Entry *e;
	char **s;

	array_for(e, &w->entries) {
		for (size_t i = 0; i < e->n_attributes; i++)
			free(e->attributes[i]);
		free(e->attributes);
	}
	array_for(s, &w->strings)
		free(*s);
	array_release(&w->entries);
	array_release(&w->strings);
	w->bytes = 0;
}

static int part_write(struct walk *w, struct error *err)
{
	size_t count = w->entries.count, i;
	_cleanup_free_ Tmpfs__Entry **pointers = calloc(count + 1, sizeof(*pointers));
	const struct stat none = { 0 };
	struct dump_object *o;
	Tmpfs m = TMPFS__INIT;

	if (!pointers)
		return no_memory(err);
	for (i = 0; i < count; i++)
		pointers[i] = &w->entries.items[i];
	o = dump_objects_add(w->dump->objects, &tmpfs_kind, &none, err);
	if (!o)
		return -1;
	m.id = o->id;
	m.file_system = w->file_system;
	m.entries = pointers;
	m.n_entries = count;
	if (dump_object_message(w->dump->objects, o, &m.base, err))
		return -1;
	part_release(w);
	return 0;
}

static char *keep(struct walk *w, const void *data, size_t size)
{
	char **slot = array_add(&w->strings);

	if (!slot)
		return NULL;
	*slot = malloc(size + 1);
	if (!*slot)
		return NULL;
	memcpy(*slot, data, size);
	(*slot)[size] = '\0';
	w->bytes += size;
	return *slot;
}

/* Its number in *ret. */
static int add_entry(struct walk *w, const char *name, uint32_t parent, Tmpfs__Entry **ret,
		     struct error *err)
{
	Tmpfs__Entry *e;

	if ((w->entries.count == PART_ENTRIES || w->bytes > PART_BYTES) && part_write(w, err))
		return -1;
	e = array_add(&w->entries);
	if (!e)
		return no_memory(err);
	tmpfs__entry__init(e);
	if (name) {
		e->has_parent = true;
		e->parent = parent;
		e->name = keep(w, name, strlen(name));
		if (!e->name)
			return no_memory(err);
	}
	w->count++;
	*ret = e;
	return 0;
}

static int add_attribute(struct walk *w, Tmpfs__Entry *e, const char *name, const void *value,
			 size_t size)
{
	Tmpfs__Attribute *a = malloc(sizeof(*a));
	Tmpfs__Attribute **all = realloc(e->attributes,
					 (e->n_attributes + 1) * sizeof(*e->attributes));

	if (all)
		e->attributes = all;
	if (!a || !all) {
		free(a);
		return -1;
	}
	tmpfs__attribute__init(a);
	e->attributes[e->n_attributes++] = a;
	a->name = keep(w, name, strlen(name));
	a->value = (ProtobufCBinaryData){ size, (uint8_t *)keep(w, value, size) };
	return a->name && a->value.data ? 0 : -1;
}

/* `link` leads to the file through /proc. */
static int take_attributes(struct walk *w, Tmpfs__Entry *e, const char *link, struct error *err)
{
	char names[4096], *name;
	ssize_t size = listxattr(link, names, sizeof(names));
	_cleanup_free_ char *value = NULL;

	if (!size || (size < 0 && errno == EOPNOTSUPP))
		return 0;
	value = malloc(NAMES_SIZE);
	if (size < 0 || !value)
		return error_set(err, ERROR_TARGET, errno, "its extended attributes");
	for (name = names; name < names + size; name += strlen(name) + 1) {
		ssize_t length = getxattr(link, name, value, NAMES_SIZE);

		if (length < 0)
			return error_set(err, ERROR_TARGET, errno, "its attribute %s", name);
		if (add_attribute(w, e, name, value, length))
			return no_memory(err);
	}
	return 0;
}

static int take_symlink(struct walk *w, Tmpfs__Entry *e, int dir, const char *name,
			struct error *err)
{
	_cleanup_free_ char *target = NULL;

	if (readlink_alloc(dir, name, &target))
		return error_set(err, ERROR_TARGET, errno, "cannot read the link");
	e->target = keep(w, target, strlen(target));
	return e->target ? 0 : no_memory(err);
}

/* Where processes of the tree reach it, and whether they do. */
static int find_path(struct walk *w, const char *name, const struct stat *st, char *ret,
		     bool *ret_covered)
{
	struct stat seen;

	if (snprintf(ret, PATH_MAX, "%s/%s", w->path, name) >= PATH_MAX)
		return -1;
	*ret_covered = fstatat(w->view->tree_root, ret + 1, &seen, AT_SYMLINK_NOFOLLOW) ||
		       seen.st_dev != st->st_dev || seen.st_ino != st->st_ino;
	return 0;
}

static int take_file(struct walk *w, int dir, const char *name,
		     const struct stat *st, uint32_t number, struct error *err)
{
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	char path[PATH_MAX];
	unsigned int flags = 0;
	bool covered;

	if (fd < 0) {
		error_set(err, ERROR_TARGET, errno, "cannot open it");
		return errno == EMFILE ? error_hint(err, "raise ulimit -n") : -1;
	}
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		flags = 0;
	if (find_path(w, name, st, path, &covered))
		return error_set(err, ERROR_BLOCKED, ENAMETOOLONG, "its path");
	return tmpfs_file_dump(w->dump, &fd, st, w->file_system, number,
			       path, covered, flags, err);
}

static int take_state(struct walk *w, Tmpfs__Entry *e, int dir, const char *name,
		      const struct stat *st, struct error *err)
{
	_cleanup_fd_ int fd = *name ? openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) :
				      dup(dir);
	char link[64];

	e->has_mode = e->has_uid = e->has_gid = e->has_atime_ns = e->has_mtime_ns = true;
	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->atime_ns = st->st_atim.tv_sec * (int64_t)TMPFS_NS_PER_S + st->st_atim.tv_nsec;
	e->mtime_ns = st->st_mtim.tv_sec * (int64_t)TMPFS_NS_PER_S + st->st_mtim.tv_nsec;
	e->has_rdev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	e->rdev = e->has_rdev ? st->st_rdev : 0;
	if (fd < 0)
		return error_set(err, ERROR_TARGET, errno, "cannot look at it");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return take_attributes(w, e, link, err);
}

/* ---- walking ---- */

/* The number of the entry that has this inode already; else it is noted for the next of its
 * names. */
static int find_linked(struct walk *w, const struct stat *st, uint32_t number, uint32_t *ret,
		       struct error *err)
{
	struct linked **head = &w->linked[st->st_ino % NAME_BUCKETS], *one;

	*ret = number;
	for (one = *head; one; one = one->next)
		if (one->inode == st->st_ino) {
			*ret = one->number;
			return 0;
		}
	one = malloc(sizeof(*one));
	if (!one)
		return no_memory(err);
	*one = (struct linked){ *head, st->st_ino, number };
	*head = one;
	return 0;
}

struct names {
	ARRAY_OF(char *) items;
	uint32_t *numbers;	/* of those that are directories; 0: it is none */
};

static void names_release(struct names *names)
{
	char **name;

	array_for(name, &names->items)
		free(*name);
	array_release(&names->items);
	free(names->numbers);
}

static int list_names(int dir, struct names *ret, struct error *err)
{
	_cleanup_fd_ int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	_cleanup_dir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!stream)
		return error_set(err, ERROR_TARGET, errno, "cannot read the directory");
	fd = -1;
	while ((entry = readdir(stream))) {
		char **slot;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		slot = array_add(&ret->items);
		if (slot)
			*slot = strdup(entry->d_name);
		if (!slot || !*slot)
			return no_memory(err);
	}
	ret->numbers = calloc(ret->items.count + 1, sizeof(*ret->numbers));
	return ret->numbers ? 0 : no_memory(err);
}

/* Adds one name of a directory; *ret_number is set for a directory. */
static int add_name(struct walk *w, int dir, const char *name, uint32_t parent,
		    uint32_t *ret_number, struct error *err)
{
	uint32_t number = w->count, same;
	Tmpfs__Entry *e;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return error_set(err, ERROR_TARGET, errno, "cannot look at it");
	if (add_entry(w, name, parent, &e, err))
		return -1;
	if (S_ISDIR(st.st_mode))
		*ret_number = number;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
		if (find_linked(w, &st, number, &same, err))
			return -1;
		e->has_link = same != number;
		e->link = e->has_link ? same : 0;
		if (e->has_link)
			return 0;
	}
	if (take_state(w, e, dir, name, &st, err))
		return -1;
	if (S_ISLNK(st.st_mode))
		return take_symlink(w, e, dir, name, err);
	return S_ISREG(st.st_mode) ? take_file(w, dir, name, &st, number, err) : 0;
}

static int walk_directory(struct walk *w, int dir, uint32_t number, unsigned depth,
			  struct error *err);

static int walk_below(struct walk *w, int dir, const char *name, uint32_t number, unsigned depth,
		      struct error *err)
{
	_cleanup_fd_ int below =
		openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	size_t length = strlen(w->path);
	int r;

	if (below < 0)
		return error_set(err, ERROR_TARGET, errno, "%s/%s: cannot open it", w->path, name);
	if (length + strlen(name) + 2 > sizeof(w->path) || depth == TMPFS_DEPTH_MAX)
		return error_set(err, ERROR_BLOCKED, 0, "%s/%s: lies too deep", w->path, name);
	snprintf(w->path + length, sizeof(w->path) - length, "/%s", name);
	r = walk_directory(w, below, number, depth + 1, err);
	w->path[length] = '\0';
	return r;
}

static int walk_names(struct walk *w, int dir, uint32_t number, unsigned depth,
		      struct names *names, struct error *err)
{
	size_t i;

	if (list_names(dir, names, err))
		return error_wrap(err, "%s", w->path);
	for (i = 0; i < names->items.count; i++)
		if (add_name(w, dir, names->items.items[i], number, &names->numbers[i], err))
			return error_wrap(err, "%s/%s", w->path, names->items.items[i]);
	for (i = 0; i < names->items.count; i++)
		if (names->numbers[i] && walk_below(w, dir, names->items.items[i],
						    names->numbers[i], depth, err))
			return -1;
	return 0;
}

/* All names of a directory follow each other. */
static int walk_directory(struct walk *w, int dir, uint32_t number, unsigned depth,
			  struct error *err)
{
	struct names names = { 0 };
	int r = walk_names(w, dir, number, depth, &names, err);

	names_release(&names);
	return r;
}

static int walk_view(struct walk *w, struct error *err)
{
	const char *point = w->view->mount_point;
	Tmpfs__Entry *e;
	struct stat st;

	snprintf(w->path, sizeof(w->path), "%s", strcmp(point, "/") ? point : "");
	if (fstat(w->view->fd, &st) || add_entry(w, NULL, 0, &e, err))
		return error_set(err, ERROR_TARGET, errno, "%s", point);
	if (take_state(w, e, w->view->fd, "", &st, err))
		return error_wrap(err, "%s", point);
	return walk_directory(w, w->view->fd, 0, 0, err);
}

int tmpfs_dump(struct dump *d, uint32_t file_system, const struct tmpfs_view *view,
	       struct error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return no_memory(err);
	w->dump = d;
	w->file_system = file_system;
	w->view = view;
	r = walk_view(w, err) || part_write(w, err) ? -1 : 0;
	part_release(w);
	for (size_t i = 0; i < NAME_BUCKETS; i++) {
		while (w->linked[i]) {
			struct linked *next = w->linked[i]->next;

			free(w->linked[i]);
			w->linked[i] = next;
		}
	}
	free(w);
	return r;
}

/* ---- the row ---- */

/* Nobody meets it: the kind mounts makes it. */
static bool tmpfs_recognise(const struct object_look *look)
{
	return false;
}

/* All of it is made with the mounts. */
static int tmpfs_create(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	return 0;
}

static const struct object_ops tmpfs_ops = {
	.recognise = tmpfs_recognise,
	.create = tmpfs_create,
};

const struct kind tmpfs_kind = {
	.name = "tmpfs",
	.record = 0x211,
	.scope = KIND_OBJECT,
	.message = &tmpfs__descriptor,
	.help = "what the container's own tmpfs hold: names, links, owners, modes, attributes",
	.object = &tmpfs_ops,
};
