/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contents of files: the parts that hold data, where they differ from what was sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "migrate/rootfs_check.h"
#include "migrate/rootfs_copy.h"

struct content {
	struct rootfs_copy *copy;
	const char *path;
	int fd;
	uint64_t size;
	struct rootfs_inode *inode;
	size_t at;	/* in what was sent */
	ARRAY_OF(struct rootfs_chunk) now;
};

/* A part that was sent, and holds nothing any more. */
static int pass_over(struct content *c, uint64_t index, struct error *err)
{
	while (c->at < c->inode->chunks.count && c->inode->chunks.items[c->at].index < index) {
		uint64_t offset = c->inode->chunks.items[c->at++].index * ROOTFS_CHUNK;

		if (offset < c->size &&
		    rootfs_send_hole(&c->copy->sender, c->path, offset,
				     c->size - offset < ROOTFS_CHUNK ? c->size - offset :
								       ROOTFS_CHUNK, err))
			return -1;
	}
	return 0;
}

/* The buffer has it; holes stay holes. */
static int send_part(struct content *c, uint64_t start, size_t size, struct error *err)
{
	off_t at = start, end = start + size, hole;

	while (at < end) {
		at = lseek(c->fd, at, SEEK_DATA);
		if (at < 0 || at >= end)
			return at < 0 && errno != ENXIO ?
				       error_set(err, ERROR_TARGET, errno, "lseek") :
				       0;
		hole = lseek(c->fd, at, SEEK_HOLE);
		if (hole < 0 || hole > end)
			hole = end;
		if (hole <= at)
			return 0;
		if (rootfs_send_data(&c->copy->sender, c->path, at, c->copy->buffer + (at - start),
				     hole - at, err))
			return -1;
		at = hole;
	}
	return 0;
}

static int take_part(struct content *c, uint64_t index, struct error *err)
{
	uint64_t start = index * ROOTFS_CHUNK;
	size_t size = c->size - start < ROOTFS_CHUNK ? c->size - start : ROOTFS_CHUNK;
	struct rootfs_chunk *part = array_add(&c->now);
	const struct rootfs_chunk *sent;
	ssize_t got;

	if (!part)
		return error_set(err, ERROR_FAILED, ENOMEM, "files");
	got = pread_full(c->fd, c->copy->buffer, size, start);
	if (got < 0)
		return error_set(err, ERROR_TARGET, errno, "cannot read it");
	/* It has become shorter, and will be looked at again. */
	memset(c->copy->buffer + got, 0, size - got);
	*part = (struct rootfs_chunk){ index, XXH3_64bits_withSeed(c->copy->buffer, size, size) };
	if (pass_over(c, index, err))
		return -1;
	sent = c->at < c->inode->chunks.count && c->inode->chunks.items[c->at].index == index ?
		       &c->inode->chunks.items[c->at++] :
		       NULL;
	if (sent && sent->hash == part->hash)
		return rootfs_send_life(&c->copy->sender, err);
	if (sent && rootfs_send_hole(&c->copy->sender, c->path, start, size, err))
		return -1;
	return send_part(c, start, size, err);
}

static int take_all(struct content *c, struct error *err)
{
	off_t at = 0;

	while ((uint64_t)at < c->size) {
		at = lseek(c->fd, at, SEEK_DATA);
		if (at < 0 && errno != ENXIO)
			return error_set(err, ERROR_TARGET, errno, "lseek");
		if (at < 0 || (uint64_t)at >= c->size)
			break;
		if (take_part(c, at / ROOTFS_CHUNK, err))
			return -1;
		at = (at / ROOTFS_CHUNK + 1) * ROOTFS_CHUNK;
	}
	return pass_over(c, UINT64_MAX, err);
}

/* O_NOATIME is for owners: not for us where the file is on another machine. */
static int open_quietly(int directory, const char *name)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(directory, name, flags | O_NOATIME);

	return fd < 0 && errno == EPERM ? openat(directory, name, flags) : fd;
}

int rootfs_copy_content(struct rootfs_copy *copy, int directory, const char *name, const char *path,
			struct rootfs_inode *inode, struct error *err)
{
	_cleanup_fd_ int fd = open_quietly(directory, name);
	struct content c = { .copy = copy, .path = path, .fd = fd, .inode = inode };
	struct stat st;
	int r;

	/* It is gone, or another one, since it was looked at: the next pass finds that. */
	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO)) {
		inode->unsettled = true;
		return 0;
	}
	if (fd < 0 || fstat(fd, &st))
		return error_set(err, ERROR_TARGET, errno, "cannot open it");
	if (!S_ISREG(st.st_mode) || st.st_ino != inode->number) {
		inode->unsettled = true;
		return 0;
	}
	c.size = inode->size;
	/* What has not changed must not be opened there: programs that run cannot be. */
	if (c.size != inode->sent_size && rootfs_send_resize(&copy->sender, path, c.size, err))
		return -1;
	inode->sent_size = c.size;
	r = take_all(&c, err);
	if (r) {
		array_release(&c.now);
		return r;
	}
	array_release(&inode->chunks);
	inode->chunks.items = c.now.items;
	inode->chunks.count = c.now.count;
	inode->chunks.capacity = c.now.capacity;
	return 0;
}
