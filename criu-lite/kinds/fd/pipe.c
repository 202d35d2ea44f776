/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pipes and FIFOs, pipe(7). All descriptions of one pipe share its data and capacity, which the
 * message of the first one carries. The data is taken by tee(2), which leaves it where it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/pipe.pb-c.h"
#include "kinds/fd/path_file.h"
#include "kinds/files.h"

enum {
	DATA_MAX = RECORD_PAYLOAD_MAX - (1 << 20),	/* one record carries it */
	PIECE_MAX = 1 << 16,
};

extern const struct kind pipe_kind;

static bool pipe_recognise(const struct fd_look *look)
{
	return S_ISFIFO(look->st.st_mode) && !(look->info.flags & O_PATH);
}

static bool has_name(const struct fd_look *look)
{
	return look->link[0] == '/';
}

static bool reads(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_WRONLY;
}

static bool writes(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* A FIFO with a name is met again by whoever has it open outside. For a nameless pipe without an
 * other end in the tree, poll(2) tells a closed end from one that somebody else holds. */
static bool pipe_outside(const struct fd_scan *scan, const struct fd_look *look)
{
	bool reader = reads(look->info.flags), writer = writes(look->info.flags);
	const struct fd_look *other = NULL;
	struct pollfd poller = { .fd = -1 };
	_cleanup_fd_ int fd = -1;

	if (has_name(look))
		return false;
	while ((other = fd_scan_by_inode(scan, look->st.st_dev, look->st.st_ino, other))) {
		reader |= reads(other->info.flags);
		writer |= writes(other->info.flags);
	}
	if (reader && writer)
		return false;
	fd = fd_look_duplicate(look);
	poller.fd = fd;
	poller.events = POLLIN | POLLOUT;
	return fd >= 0 && poll(&poller, 1, 0) >= 0 && !(poller.revents & (POLLHUP | POLLERR));
}

static int pipe_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	int waiting;

	if (fd < 0 || ioctl(fd, FIONREAD, &waiting) || waiting <= DATA_MAX)
		return 0;
	if (blockers_add(blockers, look->pid, "more than 15 MiB wait in this pipe",
			 "let the program read some of it", "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* ---- dump ---- */

/* What the descriptions of one pipe say together. */
struct pipe_look {
	struct dump_file *first, *reader;
	bool writer, packets;
};

static void pipe_look_at(struct dump_files *d, const struct dump_file *f, struct pipe_look *ret)
{
	const struct stat *st = &f->look.st;
	struct dump_file *other = NULL;

	*ret = (struct pipe_look){ 0 };
	while ((other = dump_files_next_of_inode(d, st->st_dev, st->st_ino, other))) {
		if (!pipe_recognise(&other->look))
			continue;
		if (!ret->first)
			ret->first = other;
		if (!ret->reader && reads(other->look.info.flags))
			ret->reader = other;
		ret->writer |= writes(other->look.info.flags);
		ret->packets |= (other->look.info.flags & O_DIRECT) != 0;
	}
}

static int add_piece(Pipe *m, const void *data, size_t size)
{
	ProtobufCBinaryData *list = realloc(m->data, (m->n_data + 1) * sizeof(*list));

	if (!list)
		return -1;
	m->data = list;
	list[m->n_data].data = malloc(size ? size : 1);
	list[m->n_data].len = size;
	if (!list[m->n_data].data)
		return -1;
	memcpy(list[m->n_data++].data, data, size);
	return 0;
}

static void free_pieces(Pipe *m)
{
	for (size_t i = 0; i < m->n_data; i++)
		free(m->data[i].data);
	free(m->data);
}

/* Reads a copy of what waits in the pipe until there is no more. A read ends with a packet. */
static int read_copy(int copy, Pipe *m)
{
	_cleanup_free_ char *piece = malloc(PIECE_MAX);

	if (!piece)
		return -1;
	for (;;) {
		ssize_t size = read(copy, piece, PIECE_MAX);

		if (size < 0 && errno == EAGAIN)
			return 0;
		if (size < 0 || add_piece(m, piece, size))
			return -1;
	}
}

static int take_data(int fd, Pipe *m)
{
	_cleanup_fd_ int copy = -1, into = -1;
	int waiting, ends[2];

	if (ioctl(fd, FIONREAD, &waiting))
		return -1;
	if (!waiting)
		return 0;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	copy = ends[0];
	into = ends[1];
	/* As many buffers as the pipe has, or tee(2) stops early. */
	if (fcntl(into, F_SETPIPE_SZ, m->capacity) < 0)
		return -1;
	if (tee(fd, into, waiting, SPLICE_F_NONBLOCK) != waiting) {
		errno = EIO;
		return -1;
	}
	return read_copy(copy, m);
}

/* A descriptor from which the pipe can be read, when no description of the tree can. */
static int open_reader(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static int take_contents(struct dump_files *d, struct dump_file *f, const struct pipe_look *look,
			 Pipe *m, struct error *err)
{
	int fd = dump_file_fd(d, look->reader ? look->reader : f, err);
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	_cleanup_fd_ int opened = -1;
	int capacity;

	if (fd < 0)
		return -1;
	if (!look->reader)
		fd = opened = open_reader(fd);
	capacity = fcntl(fd, F_GETPIPE_SZ);
	if (capacity < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: F_GETPIPE_SZ", dump_file_name(f));
	m->has_capacity = true;
	m->capacity = capacity;
	m->has_packets = m->packets = look->packets;
	m->has_never_written = m->never_written = has_name(&f->look) && look->reader &&
						  !look->writer && poll(&poller, 1, 0) >= 0 &&
						  !(poller.revents & POLLHUP);
	if (take_data(fd, m))
		return error_set(err, ERROR_TARGET, errno, "%s: copying its data",
				 dump_file_name(f));
	return 0;
}

/* The name of a FIFO, if it is still found there. A deleted one is restored as a nameless pipe. */
static void take_path(const struct dump_file *f, Pipe *m)
{
	struct stat st;

	if (!has_name(&f->look) || stat(f->look.link, &st) || st.st_ino != f->look.st.st_ino ||
	    st.st_dev != f->look.st.st_dev)
		return;
	m->has_path = true;
	m->path.data = (uint8_t *)f->look.link;
	m->path.len = strlen(f->look.link);
}

static int pipe_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Pipe m = PIPE__INIT;
	struct pipe_look look;
	FileCommon common;
	int r;

	pipe_look_at(d, f, &look);
	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.pipe = look.first->id;
	if (look.first == f) {
		take_path(f, &m);
		r = take_contents(d, f, &look, &m, err);
	} else {
		r = 0;
	}
	if (!r)
		r = dump_file_message(d, f, &m.base, err);
	free_pieces(&m);
	return r;
}

/* ---- restore ---- */

/* A pipe being restored: its ends as made, the same one twice for a FIFO. An end that is taken
 * belongs to a description; the others keep the pipe open until it is filled. */
struct pipe_ends {
	int reader, writer;
	bool reader_taken, writer_taken;
};

static struct pipe_ends *ends_of(struct restore_files *r, const Pipe *m, struct error *err)
{
	void **slot = restore_files_shared(r, &pipe_kind, m->pipe);

	if (slot && !*slot && (*slot = malloc(sizeof(struct pipe_ends))))
		*(struct pipe_ends *)*slot = (struct pipe_ends){ .reader = -1, .writer = -1 };
	if (!slot || !*slot)
		error_set(err, ERROR_FAILED, ENOMEM, "pipe");
	return slot ? *slot : NULL;
}

/* The message that carries the contents. */
static const Pipe *first_of(struct restore_files *r, const Pipe *m)
{
	return (const Pipe *)restore_files_get(r, m->pipe)->message;
}

static int pipe_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Pipe *m = (const Pipe *)f->message;
	struct restore_file *first = restore_files_get(r, m->pipe);

	if (!first || first->kind != &pipe_kind || first_of(r, m)->pipe != m->pipe)
		return error_set(err, ERROR_IMAGE, 0, "there is no pipe %u", m->pipe);
	return m->has_path ? path_file_verify_path(&m->path, err) : 0;
}

static int open_fifo(struct restore_files *r, struct restore_file *f, const Pipe *first,
		     struct pipe_ends *ends, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct stat st;
	uint64_t path;
	int record;

	batch_start(&b, &f->opener->agent);
	path = path_file_string(&first->path, &b, err);
	if (!path)
		return -1;
	record = batch_must(&b, SYS_openat, AT_FDCWD, path,
			    (first->never_written ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
	if (restore_run(f->opener, &b, err))
		return error_wrap(err, "%.*s", (int)first->path.len, first->path.data);
	ends->reader = restore_fetch(r, f->opener, batch_result(&b, record), err);
	if (ends->reader < 0)
		return -1;
	if (fstat(ends->reader, &st) || !S_ISFIFO(st.st_mode))
		return error_set(err, ERROR_FAILED, 0, "%.*s is no FIFO any more",
				 (int)first->path.len, first->path.data);
	ends->writer = ends->reader;
	return 0;
}

static int make_pipe(struct restore_files *r, struct restore_file *f, struct pipe_ends *ends,
		     struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	uint64_t numbers;
	const int *made;

	batch_start(&b, &f->opener->agent);
	numbers = batch_space(&b, 2 * sizeof(int));
	batch_must(&b, SYS_pipe2, numbers, O_CLOEXEC);
	if (restore_run(f->opener, &b, err))
		return -1;
	made = batch_at(&b, numbers);
	ends->reader = restore_fetch(r, f->opener, made[0], err);
	if (ends->reader < 0)
		return -1;
	ends->writer = restore_fetch(r, f->opener, made[1], err);
	return ends->writer < 0 ? -1 : 0;
}

/* A new description of the pipe behind `end`; never blocks, as both ends are open. */
static int open_end(int end, uint32_t mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", end);
	return open(path, mode | O_NONBLOCK | O_CLOEXEC);
}

/* The ends as made are the first descriptions of each; further ones are opened. */
static int take_end(struct pipe_ends *ends, uint32_t mode)
{
	bool *taken = mode == O_RDONLY ? &ends->reader_taken : &ends->writer_taken;

	if (ends->reader == ends->writer || mode == O_RDWR || *taken)
		return open_end(ends->reader, mode);
	*taken = true;
	return mode == O_RDONLY ? ends->reader : ends->writer;
}

static int pipe_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Pipe *m = (const Pipe *)f->message, *first = first_of(r, m);
	struct pipe_ends *ends = ends_of(r, m, err);

	if (!ends)
		return -1;
	if (ends->reader < 0 && (first->has_path ? open_fifo(r, f, first, ends, err) :
						   make_pipe(r, f, ends, err)))
		return -1;
	f->fd = take_end(ends, m->common->flags & O_ACCMODE);
	if (f->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "pipe");
	return restore_file_set_flags(f, err);
}

static int set_capacity(int fd, const Pipe *m, struct error *err)
{
	if (!m->has_capacity || (uint32_t)fcntl(fd, F_GETPIPE_SZ) == m->capacity ||
	    fcntl(fd, F_SETPIPE_SZ, m->capacity) >= 0)
		return 0;
	error_set(err, ERROR_FAILED, errno, "a pipe of %u bytes", m->capacity);
	return error_hint(err, "raise the limit: sysctl fs.pipe-max-size=%u", m->capacity);
}

static int write_data(int fd, const Pipe *m, struct error *err)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK | (m->packets ? O_DIRECT : 0)))
		return error_set(err, ERROR_FAILED, errno, "F_SETFL");
	for (size_t i = 0; i < m->n_data; i++)
		if (write_full(fd, m->data[i].data, m->data[i].len))
			return error_set(err, ERROR_FAILED, errno, "refilling it");
	return 0;
}

/* By the first description, when all of them are open. The ends that nobody holds close here. */
static int pipe_fill(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Pipe *m = (const Pipe *)f->message;
	struct pipe_ends *ends = ends_of(r, m, err);
	_cleanup_fd_ int writer = -1;
	int waiting = 0;

	if (m->pipe != m->id)
		return 0;
	if (!ends || set_capacity(f->fd, m, err))
		return -1;
	/* A FIFO that somebody outside has kept open still holds its data. */
	if (ioctl(f->fd, FIONREAD, &waiting))
		return error_set(err, ERROR_FAILED, errno, "FIONREAD");
	if (m->n_data && !waiting) {
		writer = open_end(ends->reader, O_WRONLY);
		if (writer < 0)
			return error_set(err, ERROR_FAILED, errno, "opening it for its data");
		if (write_data(writer, m, err))
			return -1;
	}
	if (ends->writer != ends->reader && !ends->writer_taken)
		fd_close(&ends->writer);
	if (!ends->reader_taken)
		fd_close(&ends->reader);
	return 0;
}

static const struct file_ops pipe_file = {
	.recognise = pipe_recognise,
	.outside = pipe_outside,
	.check = pipe_check,
	.dump = pipe_dump,
	.verify = pipe_verify,
	.create = pipe_create,
	.fill = pipe_fill,
};

const struct kind pipe_kind = {
	.name = "pipe",
	.record = 0x104,
	.scope = KIND_FILE,
	.message = &pipe__descriptor,
	.help = "pipes and FIFOs with data, capacity and packets; closed ends stay closed",
	.file = &pipe_file,
};
