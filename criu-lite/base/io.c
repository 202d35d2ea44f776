/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void buffer_release(struct buffer *buf)
{
	free(buf->data);
	*buf = (struct buffer){ 0 };
}

int buffer_reserve(struct buffer *buf, size_t more)
{
	size_t capacity = buf->capacity ? buf->capacity : 4096;
	char *data;

	if (more > SIZE_MAX / 4 - buf->size) {
		errno = ENOMEM;
		return -1;
	}
	if (buf->size + more + 1 <= buf->capacity)
		return 0;
	while (capacity < buf->size + more + 1)
		capacity *= 2;
	data = realloc(buf->data, capacity);
	if (!data)
		return -1;
	buf->data = data;
	buf->capacity = capacity;
	return 0;
}

int buffer_append(struct buffer *buf, const void *data, size_t size)
{
	if (buffer_reserve(buf, size))
		return -1;
	memcpy(buf->data + buf->size, data, size);
	buf->size += size;
	buf->data[buf->size] = '\0';
	return 0;
}

int read_fd_to_end(int fd, struct buffer *buf)
{
	buf->size = 0;
	for (;;) {
		ssize_t got;

		if (buffer_reserve(buf, 4096))
			return -1;
		got = read(fd, buf->data + buf->size, buf->capacity - buf->size - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		buf->data[buf->size + got] = '\0';
		if (got == 0)
			return 0;
		buf->size += got;
	}
}

int read_file_at(int dir_fd, const char *path, struct buffer *buf)
{
	_cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read_fd_to_end(fd, buf);
}

ssize_t read_full(int fd, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read(fd, (char *)data + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

ssize_t pread_full(int fd, void *data, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (char *)data + done, size - done, offset + done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

int write_full(int fd, const void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t put = write(fd, (const char *)data + done, size - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		done += put;
	}
	return 0;
}

int pwrite_full(int fd, const void *data, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t put = pwrite(fd, (const char *)data + done, size - done, offset + done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		done += put;
	}
	return 0;
}

int readlink_alloc(int dir_fd, const char *path, char **ret)
{
	char text[PATH_MAX + 1];
	ssize_t size = readlinkat(dir_fd, path, text, sizeof(text) - 1);

	if (size < 0)
		return -1;
	text[size] = '\0';
	*ret = strdup(text);
	return *ret ? 0 : -1;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}
