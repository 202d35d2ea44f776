/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_STREAM_CASE_H
#define CL_TESTS_STREAM_CASE_H

/* An image of known content, written and read through files and pipes, for the stream's tests. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "images/format.h"
#include "images/image.pb-c.h"

#define MESSAGE 20
#define BULK 21
#define PACKED 22

/* ---- an image in memory ---- */

struct bytes {
	uint8_t *data;
	size_t size;
};

/* Moves bytes through a pipe from or to a buffer, from a thread of its own. */
struct pump {
	pthread_t id;
	int fd;
	struct buffer buffer;
};

static inline void *pump_in(void *argument)
{
	struct pump *p = argument;

	/* A reader that gives up early closes its end. */
	if (write_full(p->fd, p->buffer.data, p->buffer.size))
		assert_int_equal(errno, EPIPE);
	close(p->fd);
	return NULL;
}

static inline void *pump_out(void *argument)
{
	struct pump *p = argument;

	assert_int_equal(read_fd_to_end(p->fd, &p->buffer), 0);
	close(p->fd);
	return NULL;
}

static inline int memory_file(const void *data, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite_full(fd, data, size, 0), 0);
	return fd;
}

/* ---- contents ---- */

static inline uint8_t content(size_t i, size_t at)
{
	/* Half noise, so that zstd has some work, half runs. */
	return at & 1024 ? (i * 131 + at / 64) : (i * 7919 + at * 2654435761u) >> 13;
}

struct bulk_case {
	size_t count;
	uint32_t size;		/* of the largest chunk; every third is shorter */
	size_t fail_at;		/* chunk that cannot be made, or SIZE_MAX */
};

static inline uint32_t chunk_size(const struct bulk_case *c, size_t i)
{
	return i % 3 == 2 ? c->size / 3 : c->size;
}

static inline uint32_t case_size(void *context, size_t i)
{
	return chunk_size(context, i);
}

static inline int case_fill(void *context, size_t i, void *data, struct error *err)
{
	struct bulk_case *c = context;
	uint8_t *out = data;

	if (i == c->fail_at)
		return error_set(err, ERROR_TARGET, 0, "chunk %zu is gone", i);
	for (uint32_t at = 0; at < chunk_size(c, i); at++)
		out[at] = content(i, at);
	return 0;
}

static inline int write_message(struct stream_writer *w, int32_t pid, size_t host_size,
				struct error *err)
{
	_cleanup_free_ char *host = calloc(1, host_size + 1);
	Image image = IMAGE__INIT;

	memset(host, 'h', host_size);
	image.creator = "test";
	image.id = (ProtobufCBinaryData){ .len = 3, .data = (uint8_t *)"abc" };
	image.root_pid = pid;
	image.hostname = host;
	return stream_write(w, MESSAGE, RECORD_CRITICAL, &image.base, err);
}

/* The image that most tests use: messages small and large, a bulk, and more messages. */
static inline int write_image(int fd, const struct stream_options *options, struct bulk_case *c,
		       struct error *err)
{
	_cleanup_writer_ struct stream_writer *w = NULL;
	struct bulk_source source = { c->count, BULK, 0, case_size, case_fill, c };
	uint64_t unpacked, stored;

	if (stream_writer_open(&w, fd, options, err))
		return -1;
	for (int32_t i = 0; i < 5; i++)
		if (write_message(w, i, i * 40000, err))
			return -1;
	if (stream_write_bulk(w, &source, err) || write_message(w, 5, 1, err) ||
	    stream_write_packed(w, PACKED, 0, "packed", 6, err) ||
	    stream_write_packed(w, PACKED, 0, NULL, 0, err) ||
	    stream_write_bulk(w, &source, err) || stream_writer_seal(w, err))
		return -1;
	stream_writer_sizes(w, &unpacked, &stored);
	assert_true(unpacked > 0 && stored > 0);
	return 0;
}

/* ---- reading it back ---- */

struct taken {
	struct bulk_case *c;
	size_t i;
	unsigned times;
};

static inline int take(void *context, const void *payload, size_t size, struct error *err)
{
	struct taken *t = context;
	const uint8_t *bytes = payload;

	t->times++;
	if (size != chunk_size(t->c, t->i))
		return error_set(err, ERROR_TARGET, 0, "chunk %zu has %zu bytes", t->i, size);
	for (size_t at = 0; at < size; at++)
		if (bytes[at] != content(t->i, at))
			return error_set(err, ERROR_TARGET, 0, "chunk %zu differs at %zu", t->i,
					 at);
	return 0;
}

static inline int read_message(struct stream_reader *r, int32_t pid, struct error *err)
{
	ProtobufCMessage *message;
	Image *image;

	if (stream_message(r, &image__descriptor, &message, err))
		return -1;
	image = (Image *)message;
	assert_int_equal(image->root_pid, pid);
	assert_int_equal(strlen(image->hostname), pid < 5 ? pid * 40000 : 1);
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

/* Reads all; every second chunk is handed out if hand_out, else read here. */
static inline int read_image(int fd, int jobs, bool hand_out, struct bulk_case *c,
			     struct error *err)
{
	_cleanup_free_ struct taken *taken = calloc(c->count * 2 + 1, sizeof(*taken));
	_cleanup_reader_ struct stream_reader *r = NULL;
	int32_t messages = 0, packed = 0;
	struct record record;
	size_t chunks = 0;
	int more;

	if (stream_reader_open(&r, fd, jobs, err))
		return -1;
	while ((more = stream_next(r, &record, err)) > 0) {
		const void *payload;
		size_t size;

		if (record.kind == MESSAGE && read_message(r, messages++, err))
			return -1;
		if (record.kind == PACKED) {
			if (stream_payload(r, &payload, &size, err))
				return -1;
			assert_int_equal(size, packed ? 0 : 6);
			assert_memory_equal(payload, "packed", size);
			packed++;
		}
		if (record.kind != BULK)
			continue;
		assert_true(chunks < c->count * 2);
		taken[chunks] = (struct taken){ .c = c, .i = chunks % c->count };
		if (hand_out && chunks % 2 == 0) {
			if (stream_hand_out(r, take, &taken[chunks], err))
				return -1;
		} else if (stream_payload(r, &payload, &size, err) ||
			   take(&taken[chunks], payload, size, err)) {
			return -1;
		}
		chunks++;
	}
	if (more < 0 || stream_barrier(r, err))
		return -1;
	assert_int_equal(stream_next(r, &record, err), 0);
	assert_int_equal(messages, 6);
	assert_int_equal(packed, 2);
	assert_int_equal(chunks, c->count * 2);
	for (size_t i = 0; i < chunks; i++)
		assert_int_equal(taken[i].times, 1);
	return 0;
}

static inline void write_through_pipe(const struct stream_options *options, struct bulk_case *c,
			       struct buffer *ret)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct pump p = { 0 };
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	p.fd = ends[0];
	assert_int_equal(pthread_create(&p.id, NULL, pump_out, &p), 0);
	assert_int_equal(write_image(ends[1], options, c, &err), 0);
	close(ends[1]);
	pthread_join(p.id, NULL);
	*ret = p.buffer;
}

static inline int read_through_pipe(const void *data, size_t size, int jobs, bool hand_out,
			     struct bulk_case *c, struct error *err)
{
	struct pump p = { .buffer = { .data = (char *)data, .size = size } };
	int ends[2], result;

	assert_int_equal(pipe(ends), 0);
	p.fd = ends[1];
	assert_int_equal(pthread_create(&p.id, NULL, pump_in, &p), 0);
	result = read_image(ends[0], jobs, hand_out, c, err);
	close(ends[0]);
	pthread_join(p.id, NULL);
	return result;
}

static inline void write_to_memory(const struct stream_options *options, struct bulk_case *c,
			    struct buffer *ret)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("", 0);
	struct stat st;

	assert_int_equal(write_image(fd, options, c, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), st.st_size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read_fd_to_end(fd, ret), 0);
}

static inline void check_reads(const struct buffer *image, int jobs, bool hand_out,
			       struct bulk_case *c)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file(image->data, image->size);

	if (read_image(fd, jobs, hand_out, c, &err))
		fail_msg("file: %s", err.message);
	if (read_through_pipe(image->data, image->size, jobs, hand_out, c, &err))
		fail_msg("pipe: %s", err.message);
}

#endif
