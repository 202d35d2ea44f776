/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "images/reader.h"

/* After a jump in a file most likely only a header is wanted. */
#define STEP_MINIMUM 4096u

int source_open(struct source *s, int fd, struct error *err)
{
	struct stat st;

	*s = (struct source){ .fd = fd, .step = SOURCE_BUFFER };
	if (fstat(fd, &st))
		return error_set(err, ERROR_FAILED, errno, "image: cannot use descriptor %d", fd);
	if (S_ISREG(st.st_mode)) {
		off_t base = lseek(fd, 0, SEEK_CUR);

		if (base < 0)
			return error_set(err, ERROR_FAILED, errno,
					 "image: cannot seek in the file");
		s->regular = true;
		s->base = base;
	}
	s->buffer = malloc(SOURCE_BUFFER);
	if (!s->buffer)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	return 0;
}

void source_release(struct source *s)
{
	free(s->buffer);
	s->buffer = NULL;
}

static ssize_t read_once(const struct source *s, void *data, size_t size, uint64_t offset)
{
	ssize_t got;

	do
		got = s->regular ? pread(s->fd, data, size, s->base + offset)
				 : read(s->fd, data, size);
	while (got < 0 && errno == EINTR);
	return got;
}

static int read_error(uint64_t offset, struct error *err)
{
	return error_set(err, ERROR_FAILED, errno, "image: cannot read at offset %" PRIu64, offset);
}

/* Fills the buffer until it holds size bytes or the stream ends. */
static int fill(struct source *s, size_t size, struct error *err)
{
	if (s->head + size > SOURCE_BUFFER) {
		memmove(s->buffer, s->buffer + s->head, s->tail - s->head);
		s->tail -= s->head;
		s->head = 0;
	}
	while (s->tail - s->head < size) {
		uint64_t offset = s->position + (s->tail - s->head);
		size_t room = SOURCE_BUFFER - s->tail, wanted = size - (s->tail - s->head);
		ssize_t got;

		if (wanted < s->step)
			wanted = s->step < room ? s->step : room;
		got = read_once(s, s->buffer + s->tail, wanted, offset);
		if (got < 0)
			return read_error(offset, err);
		if (got == 0)
			return 0;
		s->tail += got;
		if (s->step && s->step < SOURCE_BUFFER)
			s->step *= 2;
	}
	return 0;
}

int source_peek(struct source *s, size_t size, const uint8_t **ret, size_t *ret_got,
		struct error *err)
{
	if (s->head == s->tail)
		s->head = s->tail = 0;
	if (s->tail - s->head < size && fill(s, size, err))
		return -1;
	*ret = s->buffer + s->head;
	*ret_got = s->tail - s->head < size ? s->tail - s->head : size;
	return *ret_got == size;
}

int source_read(struct source *s, void *data, size_t size, struct error *err)
{
	size_t done = s->tail - s->head < size ? s->tail - s->head : size;

	memcpy(data, s->buffer + s->head, done);
	s->head += done;
	s->position += done;
	while (done < size) {
		ssize_t got = read_once(s, (char *)data + done, size - done, s->position);

		if (got < 0)
			return read_error(s->position, err);
		if (got == 0)
			return 0;
		done += got;
		s->position += got;
	}
	return 1;
}

void source_skip(struct source *s, uint64_t size)
{
	s->position += size;
	if (size <= s->tail - s->head) {
		s->head += size;
		return;
	}
	s->head = s->tail = 0;
	s->step = STEP_MINIMUM;
}

void source_forget(struct source *s, size_t size)
{
	s->head += size;
}

int source_pread(const struct source *s, void *data, size_t size, uint64_t offset,
		 struct error *err)
{
	ssize_t got = pread_full(s->fd, data, size, s->base + offset);

	if (got < 0)
		return read_error(offset, err);
	return (size_t)got == size;
}
