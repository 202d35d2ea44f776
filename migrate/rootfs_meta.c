/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <xxhash.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "migrate/rootfs_path.h"

enum { LIST_MAX = 64 << 10, VALUE_MAX = 64 << 10, MODE_BITS = 07777 };

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "metadata");
}

int rootfs_meta_begin(int *ret_directory, struct error *err)
{
	*ret_directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_directory < 0 ? error_set(err, ERROR_FAILED, errno, "working directory") : 0;
}

void rootfs_meta_end(int *directory)
{
	if (*directory >= 0 && fchdir(*directory))
		(void)!chdir("/");
	fd_close(directory);
}

/* ---- extended attributes ---- */

/* Those that mean something on another machine, too. */
static bool is_carried(const char *name)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security." };
	size_t i;

	if (!strncmp(name, "trusted.criu-lite.", 18) || !strcmp(name, "security.evm"))
		return false;
	if (!strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default"))
		return true;
	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static int add_attribute(MigrateFiles__Entry *e, const char *file, const char *name,
			 struct error *err)
{
	_cleanup_free_ char *value = malloc(VALUE_MAX);
	MigrateFiles__Attribute *one;
	ssize_t size;

	if (!value)
		return no_memory(err);
	size = lgetxattr(file, name, value, VALUE_MAX);
	if (size < 0)
		return errno == ENODATA ? 0 :
					  error_set(err, ERROR_TARGET, errno, "attribute %s", name);
	one = malloc(sizeof(*one));
	if (!one)
		return no_memory(err);
	migrate_files__attribute__init(one);
	e->attributes[e->n_attributes++] = one;
	one->name = strdup(name);
	one->value.data = malloc(size + 1);
	one->value.len = size;
	if (!one->name || !one->value.data)
		return no_memory(err);
	memcpy(one->value.data, value, size);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(MigrateFiles__Attribute *const *)a)->name,
		      (*(MigrateFiles__Attribute *const *)b)->name);
}

/* *ret is a list of names, each with its NUL; its size, or -1. */
static ssize_t list_attributes(const char *file, char **ret, struct error *err)
{
	char few[1024];
	ssize_t size = llistxattr(file, few, sizeof(few));

	if (size < 0 && errno != ERANGE)
		return errno == ENOTSUP ? 0 : error_set(err, ERROR_TARGET, errno, "attributes");
	*ret = malloc(size < 0 ? LIST_MAX : size + 1);
	if (!*ret)
		return no_memory(err);
	if (size >= 0) {
		memcpy(*ret, few, size);
		return size;
	}
	size = llistxattr(file, *ret, LIST_MAX);
	return size < 0 ? error_set(err, ERROR_TARGET, errno, "attributes") : size;
}

static int read_attributes(MigrateFiles__Entry *e, const char *file, struct error *err)
{
	_cleanup_free_ char *list = NULL;
	ssize_t size = list_attributes(file, &list, err), count = 0;
	char *name;

	if (size <= 0)
		return size;
	for (name = list; name < list + size; name += strlen(name) + 1)
		count++;
	e->attributes = calloc(count, sizeof(*e->attributes));
	if (!e->attributes)
		return no_memory(err);
	for (name = list; name < list + size; name += strlen(name) + 1)
		if (is_carried(name) && add_attribute(e, file, name, err))
			return -1;
	if (e->n_attributes)
		qsort(e->attributes, e->n_attributes, sizeof(*e->attributes), compare_names);
	return 0;
}

static const MigrateFiles__Attribute *find_attribute(const MigrateFiles__Entry *e,
						     const char *name)
{
	size_t i;

	for (i = 0; i < e->n_attributes; i++)
		if (!strcmp(e->attributes[i]->name, name))
			return e->attributes[i];
	return NULL;
}

/* A label that this machine gives by itself cannot always be taken away. */
static int remove_attributes(const char *file, const MigrateFiles__Entry *e, struct error *err)
{
	_cleanup_free_ char *list = NULL;
	ssize_t size = list_attributes(file, &list, err);
	const char *name;

	if (size <= 0)
		return size;
	for (name = list; name < list + size; name += strlen(name) + 1)
		if (is_carried(name) && !find_attribute(e, name) && lremovexattr(file, name) &&
		    errno != ENODATA && strncmp(name, "security.", 9))
			return error_set(err, ERROR_FAILED, errno, "attribute %s", name);
	return 0;
}

static int set_attributes(const char *file, const MigrateFiles__Entry *e, struct error *err)
{
	size_t i;

	if (remove_attributes(file, e, err))
		return -1;
	for (i = 0; i < e->n_attributes; i++) {
		const MigrateFiles__Attribute *a = e->attributes[i];

		if (!is_carried(a->name))
			return error_set(err, ERROR_PEER, 0, "the source sends the attribute %.64s",
					 a->name);
		if (lsetxattr(file, a->name, a->value.data, a->value.len, 0))
			return error_set(err, ERROR_FAILED, errno, "attribute %s", a->name);
	}
	return 0;
}

/* ---- all of it ---- */

int rootfs_meta_read(int directory, const char *name, const struct stat *st,
		     MigrateFiles__Entry **ret, struct error *err)
{
	MigrateFiles__Entry *e = malloc(sizeof(*e));

	if (!e)
		return no_memory(err);
	migrate_files__entry__init(e);
	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->has_rdev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	e->rdev = e->has_rdev ? st->st_rdev : 0;
	e->has_size = S_ISREG(st->st_mode);
	e->size = e->has_size ? st->st_size : 0;
	e->mtime_ns = rootfs_ns(&st->st_mtim);
	e->has_atime_ns = true;
	e->atime_ns = rootfs_ns(&st->st_atim);
	if ((S_ISLNK(st->st_mode) && readlink_alloc(directory, name, &e->target)) ||
	    fchdir(directory)) {
		error_set(err, ERROR_TARGET, errno, "%s", name);
		protobuf_c_message_free_unpacked(&e->base, NULL);
		return -1;
	}
	if (read_attributes(e, name, err)) {
		protobuf_c_message_free_unpacked(&e->base, NULL);
		return -1;
	}
	*ret = e;
	return 0;
}

uint64_t rootfs_meta_digest(const MigrateFiles__Entry *entry)
{
	MigrateFiles__Entry e = *entry;
	uint8_t few[512], *bytes = few;
	_cleanup_free_ uint8_t *many = NULL;
	size_t size;

	e.has_atime_ns = false;
	size = protobuf_c_message_get_packed_size(&e.base);
	if (size > sizeof(few))
		bytes = many = malloc(size);
	if (!bytes)
		return 0;
	protobuf_c_message_pack(&e.base, bytes);
	return XXH3_64bits(bytes, size);
}

static struct timespec timespec_of(int64_t ns)
{
	struct timespec t = { ns / ROOTFS_NS_PER_S, ns % ROOTFS_NS_PER_S };

	if (t.tv_nsec < 0) {
		t.tv_nsec += ROOTFS_NS_PER_S;
		t.tv_sec--;
	}
	return t;
}

/* A new owner takes set-id bits and capabilities away, a new mode changes an ACL; so in this
 * order. */
int rootfs_meta_apply(int directory, const char *name, const MigrateFiles__Entry *e,
		      struct error *err)
{
	const struct timespec times[] = {
		e->has_atime_ns ? timespec_of(e->atime_ns) :
				  (struct timespec){ .tv_nsec = UTIME_OMIT },
		timespec_of(e->mtime_ns),
	};

	if (fchownat(directory, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW))
		return error_set(err, ERROR_FAILED, errno, "owner");
	if (!S_ISLNK(e->mode) && fchmodat(directory, name, e->mode & MODE_BITS, 0))
		return error_set(err, ERROR_FAILED, errno, "mode");
	if (fchdir(directory))
		return error_set(err, ERROR_FAILED, errno, "its directory");
	if (set_attributes(name, e, err))
		return -1;
	return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) ?
		       error_set(err, ERROR_FAILED, errno, "times") :
		       0;
}
