/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/fd/pty_lines.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

enum { LENGTH = 2 /* argument of read and write */, KERNEL_SIGNALS = 8 };

static int on_peer(struct batch *b, const struct pty_lines *l, long number, uint64_t a1,
		   uint64_t a2)
{
	int record = batch_call(b, number, 0, a1, a2);

	batch_from(b, record, 0, l->peer);
	return record;
}

void pty_lines_read(struct pty_lines *l, struct batch *b)
{
	l->data = batch_space(b, LINES_MAX * LINE_ROOM);
	for (int i = 0; i < LINES_MAX; i++)
		l->read[i] = on_peer(b, l, SYS_read, l->data + i * LINE_ROOM, LINE_ROOM);
}

/* A file in memory with these bytes; returns the record of its descriptor. */
static int make_table(struct batch *b, const void *bytes, size_t size)
{
	int file = batch_call(b, SYS_memfd_create, batch_string(b, "criu-lite"), 0);

	batch_from(b, batch_call(b, SYS_write, 0, batch_put(b, bytes, size), size), 0, file);
	return file;
}

/* Line i, written by itself: poll(2) passes it on and says whether it has its end. */
static void show(struct pty_lines *l, struct batch *b, int i)
{
	const struct pollfd poller = { .fd = l->peer_number, .events = POLLIN };
	const struct timespec now = { 0 };

	batch_from(b, batch_call(b, SYS_write, l->master, l->data + i * LINE_ROOM), LENGTH,
		   l->read[i]);
	l->shown[i] = batch_call(b, SYS_ppoll, batch_put(b, &poller, sizeof(poller)), 1,
				 batch_put(b, &now, sizeof(now)), 0, KERNEL_SIGNALS);
	on_peer(b, l, SYS_ioctl, TCFLSH, TCIFLUSH);
}

/* A byte of a table at the offset that an earlier call has returned, into an argument of a later
 * one, which is 0 otherwise: also when that call has failed, since offsets are not negative. */
static int look_up(struct batch *b, int table, int offset, size_t size)
{
	int record = batch_call(b, SYS_pread64, 0, 0, size);

	batch_from(b, record, 0, table);
	batch_from(b, record, 3, offset);
	return record;
}

static void write_line(struct pty_lines *l, struct batch *b, int i)
{
	/* 1 if a line was read at all, as the length of the look-up for its end. */
	int there = look_up(b, l->ones, l->read[i], 1);
	int end = look_up(b, l->ends, l->shown[i], 0);

	l->written[i] = batch_call(b, SYS_write, l->master, l->data + i * LINE_ROOM);
	batch_from(b, l->written[i], LENGTH, l->read[i]);
	l->ended[i] = batch_call(b, SYS_write, l->master, batch_put(b, &l->eof, 1), 0);
	b->records.items[there].a[1] = batch_argument(b, end, LENGTH);
	b->records.items[end].a[1] = batch_argument(b, l->ended[i], LENGTH);
}

void pty_lines_write(struct pty_lines *l, struct batch *b)
{
	static const char ends[] = { 1, 0 };	/* not shown: write one byte; shown: none */
	char ones[LINE_ROOM + 1];

	memset(ones, 1, sizeof(ones));
	l->ones = make_table(b, ones, sizeof(ones));
	l->ends = make_table(b, ends, sizeof(ends));
	for (int i = 0; i < LINES_MAX; i++)
		show(l, b, i);
	for (int i = 0; i < LINES_MAX; i++)
		write_line(l, b, i);
	batch_from(b, batch_call(b, SYS_close, 0), 0, l->ones);
	batch_from(b, batch_call(b, SYS_close, 0), 0, l->ends);
}

int pty_lines_collect(const struct pty_lines *l, const struct batch *b, struct buffer *ret)
{
	int wrong = 0;

	for (int i = 0; i < LINES_MAX; i++) {
		int64_t size = batch_result(b, l->read[i]), shown = batch_result(b, l->shown[i]);
		const char *line = batch_at(b, l->data + i * LINE_ROOM);

		if (size < 0)
			continue;
		wrong |= batch_result(b, l->written[i]) != size || shown < 0 ||
			 batch_result(b, l->ended[i]) != !shown || memchr(line, l->eof, size);
		if (buffer_append(ret, line, size) || (!shown && buffer_append(ret, "", 1)))
			return -1;
	}
	return wrong;
}
