/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FIRST_BUCKETS = 1024 };

static size_t bucket_of_path(const struct rootfs_table *t, const char *path)
{
	return XXH3_64bits(path, strlen(path)) & (t->buckets - 1);
}

static size_t bucket_of_number(const struct rootfs_table *t, uint64_t number)
{
	return XXH3_64bits(&number, sizeof(number)) & (t->buckets - 1);
}

struct rootfs_name *rootfs_table_find(const struct rootfs_table *t, const char *path)
{
	struct rootfs_name *name = t->buckets ? t->by_path[bucket_of_path(t, path)] : NULL;

	while (name && strcmp(name->path, path))
		name = name->next;
	return name;
}

struct rootfs_inode *rootfs_table_inode(const struct rootfs_table *t, uint64_t number,
					uint32_t type, int64_t btime_ns)
{
	struct rootfs_inode *i = t->buckets ? t->by_number[bucket_of_number(t, number)] : NULL;

	while (i && (i->number != number || i->type != type || i->btime_ns != btime_ns ||
		     !i->names))
		i = i->next;
	return i;
}

static int grow(struct rootfs_table *t)
{
	struct rootfs_table larger = { .buckets = t->buckets ? t->buckets * 4 : FIRST_BUCKETS,
				       .count = t->count };
	struct rootfs_inode *inode;
	struct rootfs_name *name;
	size_t i, to;

	larger.by_path = calloc(larger.buckets, sizeof(*larger.by_path));
	larger.by_number = calloc(larger.buckets, sizeof(*larger.by_number));
	if (!larger.by_path || !larger.by_number) {
		free(larger.by_path);
		free(larger.by_number);
		return -1;
	}
	for (i = 0; i < t->buckets; i++) {
		while ((name = t->by_path[i])) {
			t->by_path[i] = name->next;
			to = bucket_of_path(&larger, name->path);
			name->next = larger.by_path[to];
			larger.by_path[to] = name;
		}
		while ((inode = t->by_number[i])) {
			t->by_number[i] = inode->next;
			to = bucket_of_number(&larger, inode->number);
			inode->next = larger.by_number[to];
			larger.by_number[to] = inode;
		}
	}
	free(t->by_path);
	free(t->by_number);
	*t = larger;
	return 0;
}

struct rootfs_inode *rootfs_table_add_inode(struct rootfs_table *t, uint64_t number, uint32_t type,
					    int64_t btime_ns)
{
	struct rootfs_inode *inode, **bucket;

	if (t->count >= t->buckets && grow(t))
		return NULL;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->number = number;
	inode->type = type;
	inode->btime_ns = btime_ns;
	bucket = &t->by_number[bucket_of_number(t, number)];
	inode->next = *bucket;
	*bucket = inode;
	return inode;
}

static void drop_inode(struct rootfs_table *t, struct rootfs_inode *inode)
{
	struct rootfs_inode **at = &t->by_number[bucket_of_number(t, inode->number)];

	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	array_release(&inode->chunks);
	free(inode);
}

static void unlink_name(struct rootfs_table *t, struct rootfs_name *name)
{
	struct rootfs_name **at = &name->inode->names;

	while (*at != name)
		at = &(*at)->sibling;
	*at = name->sibling;
	if (!name->inode->names)
		drop_inode(t, name->inode);
	name->inode = NULL;
}

struct rootfs_name *rootfs_table_put(struct rootfs_table *t, const char *path,
				     struct rootfs_inode *inode, struct error *err)
{
	struct rootfs_name *name = rootfs_table_find(t, path), **bucket;
	size_t size = strlen(path) + 1;

	if (name && name->inode == inode)
		return name;
	if (name) {
		unlink_name(t, name);
	} else {
		if (t->count >= ROOTFS_NAMES_MAX) {
			error_set(err, ERROR_BLOCKED, 0, "the root file system has more than %d files",
				  ROOTFS_NAMES_MAX);
			return NULL;
		}
		name = malloc(sizeof(*name) + size);
		if (!name) {
			error_set(err, ERROR_FAILED, ENOMEM, "table of files");
			return NULL;
		}
		memcpy(name->path, path, size);
		name->pass = 0;
		bucket = &t->by_path[bucket_of_path(t, path)];
		name->next = *bucket;
		*bucket = name;
		t->count++;
	}
	name->inode = inode;
	name->sibling = inode->names;
	inode->names = name;
	return name;
}

void rootfs_table_remove(struct rootfs_table *t, const char *path)
{
	struct rootfs_name **at = t->buckets ? &t->by_path[bucket_of_path(t, path)] : NULL, *name;

	while (at && *at && strcmp((*at)->path, path))
		at = &(*at)->next;
	if (!at || !*at)
		return;
	name = *at;
	*at = name->next;
	unlink_name(t, name);
	free(name);
	t->count--;
}

static int compare_backwards(const void *a, const void *b)
{
	return strcmp((*(struct rootfs_name *const *)b)->path,
		      (*(struct rootfs_name *const *)a)->path);
}

struct rootfs_name **rootfs_table_unseen(const struct rootfs_table *t, unsigned pass,
					 size_t *ret_count)
{
	struct rootfs_name **list = calloc(t->count + 1, sizeof(struct rootfs_name *)), *name;
	size_t i, count = 0;

	for (i = 0; list && i < t->buckets; i++)
		for (name = t->by_path[i]; name; name = name->next)
			if (name->pass != pass)
				list[count++] = name;
	if (list)
		qsort(list, count, sizeof(struct rootfs_name *), compare_backwards);
	*ret_count = count;
	return list;
}

uint64_t rootfs_table_digest(const struct rootfs_table *t)
{
	const struct rootfs_name *name;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < t->buckets; i++)
		for (name = t->by_path[i]; name; name = name->next)
			sum += XXH3_64bits_withSeed(name->path, strlen(name->path),
						    name->inode->digest);
	return sum;
}

void rootfs_table_release(struct rootfs_table *t)
{
	struct rootfs_inode *inode;
	struct rootfs_name *name;
	size_t i;

	for (i = 0; i < t->buckets; i++) {
		while ((name = t->by_path[i])) {
			t->by_path[i] = name->next;
			free(name);
		}
		while ((inode = t->by_number[i])) {
			t->by_number[i] = inode->next;
			array_release(&inode->chunks);
			free(inode);
		}
	}
	free(t->by_path);
	free(t->by_number);
	*t = (struct rootfs_table){ 0 };
}
