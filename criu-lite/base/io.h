/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_BASE_IO_H
#define CL_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Whole reads and writes: short transfers and EINTR are handled here. Unless said otherwise they
 * return 0, or -1 with errno set.
 */

/* A growing byte buffer; .data is NUL-terminated after every read, the NUL not counted in .size.
 * Zero-initialise; buffer_release() frees and empties it. Made to be used again and again. */
struct buffer {
	char *data;
	size_t size, capacity;
};

void buffer_release(struct buffer *buf);
#define _cleanup_buffer_ __attribute__((cleanup(buffer_release)))
/* Makes room for `more` bytes behind .size. */
int buffer_reserve(struct buffer *buf, size_t more);
int buffer_append(struct buffer *buf, const void *data, size_t size);

/* Reads a file of unknown size (such as /proc text) from its start into *buf (replacing it). */
int read_file_at(int dir_fd, const char *path, struct buffer *buf);
int read_fd_to_end(int fd, struct buffer *buf);
/* Returns the bytes read, less than size only at end of file, or -1. */
ssize_t read_full(int fd, void *data, size_t size);
ssize_t pread_full(int fd, void *data, size_t size, off_t offset);
int write_full(int fd, const void *data, size_t size);
int pwrite_full(int fd, const void *data, size_t size, off_t offset);
/* readlinkat into a malloc'ed string (*ret, caller frees). */
int readlink_alloc(int dir_fd, const char *path, char **ret);

/* Monotonic clock in nanoseconds. */
uint64_t now_ns(void);

#endif
