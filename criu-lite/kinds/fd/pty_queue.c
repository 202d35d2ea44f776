/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data that waits in a pseudo-terminal. A terminal has no peek: what is read is gone. So one batch
 * in a process that holds the master reads everything and writes it back at once; it runs to its
 * end whether or not we are still there. Settings that would change the data on its way (echo,
 * signals, translations) are off meanwhile.
 *
 * In canonical mode the lines that are complete are read as such (pty_lines.c), what is behind them
 * as bytes, which make the same lines again when they are written back. If there are so many lines
 * that an end-of-file character is among those bytes (where it is a NUL), a second batch puts it
 * right. A NUL that was typed is taken for one then, and a newline typed behind ^V always for the
 * end of a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/enter.h"
#include "kinds/fd/pty.h"
#include "kinds/fd/pty_lines.h"

enum {
	/* Each direction holds at most 4 KiB in its read buffer and 16 KiB on the way there. */
	PIECE = 1024,
	PIECES = 44,		/* more than enough: a read may be short while data comes in */
	PIECES_AT_ONCE = 7,
	SETTLE_MS = 3,		/* for the kernel's worker between the two sides */
	MARK_MS = 200,		/* at most, for a mark to get through … */
	MARK_FIRST_US = 50,	/* … and how long it is waited for before looking again, */
	MARK_LOOKS = 12,	/* doubled each time: 50 us * (2^12 - 1) is MARK_MS */
	SMALL = 4000,		/* below this the read buffer holds everything */
};

void pty_queue_release(struct pty_queue *q)
{
	buffer_release(&q->output);
	buffer_release(&q->input);
}

/* ---- copying, by a batch in the program ---- */

struct copying {
	const struct pty_ends *ends;
	const struct termios2 *own;
	bool canonical, stopped;
	bool by_lines;		/* complete lines wait and are read as such */
	cc_t mark, mark_off;	/* VSTOP and VSTART, when marks are sent */
	size_t output_waits, input_waits;	/* as FIONREAD says: complete lines only */
	/* What is to be there afterwards; NULL: what was there. */
	const struct buffer *output, *input;
	/* records, and addresses of data */
	int peer, output_read[PIECES], output_written[PIECES];
	int input_read[PIECES], input_written[PIECES];
	uint64_t output_data, input_data, on, off;
	struct pty_lines lines;
};

/* A call whose first argument is the slave that the batch has opened. */
static int on_peer(struct batch *b, const struct copying *c, long number, uint64_t a1, uint64_t a2)
{
	int record = batch_call(b, number, 0, a1, a2);

	batch_from(b, record, 0, c->peer);
	return record;
}

static void set_peer(struct batch *b, const struct copying *c, struct termios2 settings)
{
	on_peer(b, c, SYS_ioctl, TCSETS2, batch_put(b, &settings, sizeof(settings)));
}

/* Control characters that mean nothing to the program; they are hardly ever typed. */
static void choose_marks(struct copying *c)
{
	static const char candidates[] = { 0x1e, 0x1d, 0x1f, 0x0e, 0x10, 0x19, 0x18, 0x14, 0x0b };
	cc_t *wanted[] = { &c->mark, &c->mark_off, (cc_t *)&c->lines.eof };
	size_t n = 0;

	for (size_t i = 0; i < sizeof(candidates) && n < ARRAY_SIZE(wanted); i++)
		if (!memchr(c->own->c_cc, candidates[i], sizeof(c->own->c_cc)))
			*wanted[n++] = candidates[i];
}

/* Settings with which marks get through. */
static struct termios2 marking(const struct copying *c, struct termios2 settings)
{
	settings.c_iflag = (settings.c_iflag | IXON) & ~IXANY;
	settings.c_cc[VSTOP] = c->mark;
	settings.c_cc[VSTART] = c->mark_off;
	return settings;
}

/* The number that a new descriptor gets in the process. */
static int lowest_free(const struct dump_task *task)
{
	int number = 0;

	while (dump_files_find(task->dump->files, task->pid, number))
		number++;
	return number;
}

/*
 * Waits until the kernel's worker has passed all input on to the line discipline, with marking()
 * set: a character that stops the output is sent behind it, and in packet mode poll(2) tells of the
 * stop. The output stays stopped until IXON is taken away.
 *
 * To poll the slave is to wait for the worker, unless a complete line is there. The wake-up at a
 * stop is for POLLIN alone: who waits for POLLPRI sleeps on and has to look again. (POLLIN itself
 * would be output that waits.)
 */
static void mark(struct batch *b, const struct copying *c)
{
	const struct pollfd pollers[] = {
		{ .fd = c->lines.peer_number },
		{ .fd = c->ends->number, .events = POLLPRI },
	};
	struct timespec wait = { .tv_nsec = MARK_FIRST_US * 1000l };

	batch_call(b, SYS_ioctl, c->ends->number, TIOCPKT, c->on);
	batch_call(b, SYS_write, c->ends->number, batch_put(b, &c->mark, 1), 1);
	for (int i = 0; i < MARK_LOOKS; i++) {
		batch_call(b, SYS_ppoll, batch_put(b, pollers, sizeof(pollers)),
			   ARRAY_SIZE(pollers), batch_put(b, &wait, sizeof(wait)), 0, 8);
		wait.tv_nsec *= 2;
	}
	batch_call(b, SYS_ioctl, c->ends->number, TIOCPKT, c->off);
}

static void settle(struct batch *b)
{
	const struct timespec moment = { .tv_nsec = SETTLE_MS * 1000000l };

	batch_call(b, SYS_ppoll, 0, 0, batch_put(b, &moment, sizeof(moment)), 0, 8);
}

/* In raw mode marks would be data. poll(2) does the worker's work itself as long as fewer than VMIN
 * bytes wait; for more a moment's sleep has to do, and coming too late changes nothing but that
 * bytes may be echoed once more. */
static void flush_raw(struct batch *b, const struct copying *c)
{
	const struct pollfd poller = { .fd = c->lines.peer_number, .events = POLLIN };
	const struct timespec wait = { .tv_nsec = MARK_MS * 1000000l };

	if (c->input_waits)
		batch_call(b, SYS_ppoll, batch_put(b, &poller, sizeof(poller)), 1,
			   batch_put(b, &wait, sizeof(wait)), 0, 8);
	if (c->input_waits > UINT8_MAX)
		settle(b);
}

static void read_all(struct batch *b, struct copying *c)
{
	c->output_data = batch_space(b, PIECES * PIECE);
	c->input_data = batch_space(b, PIECES * PIECE);
	for (int i = 0; i < PIECES; i++) {
		c->output_read[i] = batch_call(b, SYS_read, c->ends->number,
					       c->output_data + i * PIECE, PIECE);
		c->input_read[i] = on_peer(b, c, SYS_read, c->input_data + i * PIECE, PIECE);
	}
}

/* Writes piece i of what is to be there to the master, or to the slave; returns the record. A read
 * that found nothing has a negative result, which as a length is refused. */
static int write_piece(struct batch *b, const struct copying *c, bool to_master, int i)
{
	const struct buffer *wanted = to_master ? c->input : c->output;
	size_t at = i * PIECE, size = 0;
	uint64_t data = (to_master ? c->input_data : c->output_data) + at;
	int record;

	if (wanted && at < wanted->size) {
		size = wanted->size - at < PIECE ? wanted->size - at : PIECE;
		data = batch_put(b, wanted->data + at, size);
	}
	record = batch_call(b, SYS_write, c->ends->number, data, size);
	if (!to_master)
		batch_from(b, record, 0, c->peer);
	if (!wanted)
		batch_from(b, record, 2, to_master ? c->input_read[i] : c->output_read[i]);
	return record;
}

static void write_back(struct batch *b, struct copying *c)
{
	for (int i = 0; i < PIECES; i++) {
		/* The worker must make room before the kernel takes more. */
		if (i == PIECES_AT_ONCE && (c->output_waits >= SMALL || c->input_waits >= SMALL))
			settle(b);
		c->input_written[i] = write_piece(b, c, true, i);
		c->output_written[i] = write_piece(b, c, false, i);
	}
	if (c->canonical)
		mark(b, c);
	else
		flush_raw(b, c);
}

/* Input that the program has not seen yet is still to be treated by its own settings. */
static void take_out(struct batch *b, struct copying *c)
{
	struct termios2 own = *c->own;

	own.c_iflag &= ~IXON;
	set_peer(b, c, own);
	on_peer(b, c, SYS_ioctl, TCXONC, TCOON);
	if (c->canonical) {
		set_peer(b, c, marking(c, *c->own));
		mark(b, c);
		set_peer(b, c, own);
	}
	if (c->by_lines)
		pty_lines_read(&c->lines, b);
	set_peer(b, c, pty_plain_settings(c->own, false));
	read_all(b, c);
}

static void put_back(struct batch *b, struct copying *c)
{
	struct termios2 plain = c->input ? pty_quoting_settings(c->own) :
					   pty_plain_settings(c->own, c->canonical);

	if (!c->canonical && c->input_waits)
		plain.c_cc[VMIN] = c->input_waits < UINT8_MAX ? c->input_waits : UINT8_MAX;
	if (c->canonical)
		plain = marking(c, plain);
	if (c->by_lines)
		plain.c_cc[VEOF] = c->lines.eof;
	set_peer(b, c, plain);
	if (c->by_lines)
		pty_lines_write(&c->lines, b);
	write_back(b, c);
	/* Taking IXON away starts the output again. */
	plain.c_iflag &= ~IXON;
	set_peer(b, c, plain);
	set_peer(b, c, *c->own);
	if (c->stopped && c->own->c_iflag & IXON)
		batch_call(b, SYS_write, c->ends->number, batch_put(b, &c->own->c_cc[VSTOP], 1), 1);
	else if (c->stopped)
		on_peer(b, c, SYS_ioctl, TCXONC, TCOOFF);
}

static void make_copying(struct batch *b, struct copying *c)
{
	const struct pty_ends *ends = c->ends;

	c->off = batch_put(b, &(int){ 0 }, sizeof(int));
	c->on = batch_put(b, &(int){ 1 }, sizeof(int));
	c->peer = batch_must(b, SYS_ioctl, ends->number, TIOCGPTPEER,
			     O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	choose_marks(c);
	c->lines.peer = c->peer;
	c->lines.peer_number = lowest_free(ends->task);
	c->lines.master = ends->number;
	batch_call(b, SYS_ioctl, ends->number, TIOCPKT, c->off);
	batch_call(b, SYS_fcntl, ends->number, F_SETFL, ends->flags | O_NONBLOCK);
	take_out(b, c);
	put_back(b, c);
	batch_call(b, SYS_fcntl, ends->number, F_SETFL, ends->flags);
	if (ends->packet)
		batch_call(b, SYS_ioctl, ends->number, TIOCPKT, c->on);
	on_peer(b, c, SYS_close, 0, 0);
}

/* What was read, piece by piece. */
static int collect(const struct batch *b, const int *records, uint64_t data, struct buffer *ret)
{
	for (int i = 0; i < PIECES; i++) {
		int64_t got = batch_result(b, records[i]);

		if (got > 0 && buffer_append(ret, batch_at(b, data + i * PIECE), got))
			return -1;
	}
	return 0;
}

static size_t total(const struct batch *b, const int *records)
{
	size_t sum = 0;

	for (int i = 0; i < PIECES; i++)
		if (batch_result(b, records[i]) > 0)
			sum += batch_result(b, records[i]);
	return sum;
}

static int run_copying(struct copying *c, struct batch *b, struct error *err)
{
	struct dump_task *task = c->ends->task;

	batch_start(b, &task->agent);
	make_copying(b, c);
	return agent_run(&task->agent, &task->threads.items[0].tracee, b, err);
}

/* Once more, with what is to be there in the end. */
static int put_right(struct copying *c, const struct pty_queue *q, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	_cleanup_buffer_ struct buffer quoted = { 0 };

	if (pty_quote_input(&q->input, c->own, &quoted))
		return error_set(err, ERROR_FAILED, ENOMEM, "terminal");
	c->by_lines = false;
	c->input = &quoted;
	c->output = &q->output;
	c->output_waits = SMALL;
	if (run_copying(c, &b, err))
		return -1;
	if (total(&b, c->input_written) != quoted.size ||
	    total(&b, c->output_written) != q->output.size)
		return error_set(err, ERROR_TARGET, 0, "what waits in the terminal has grown");
	return 0;
}

static bool waits(int fd, size_t *ret)
{
	int count = 0;

	*ret = 0;
	if (fd < 0 || ioctl(fd, FIONREAD, &count) || count <= 0)
		return false;
	*ret = count;
	return true;
}

/* Room in the buffer, and yet nothing can be written. */
static bool output_stopped(const struct pty_ends *ends, size_t output_waits)
{
	struct pollfd poller = { .fd = ends->slave, .events = POLLOUT };

	return ends->slave >= 0 && output_waits < SMALL && poll(&poller, 1, 0) == 0;
}

/* Whether what was read has come through unharmed by what stands for something meanwhile. */
static bool is_plain(const struct copying *c, const struct buffer *input, size_t lines)
{
	const char *data = input->data ?: "";

	return !c->canonical || (!memchr(data, c->mark, input->size) &&
				 !memchr(data, c->mark_off, input->size) &&
				 !memchr(data + lines, '\0', input->size - lines));
}

/* With the agent in the process, where a second batch follows the first at once. */
static int copy(struct copying *c, struct pty_queue *ret, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int wrong = 0;
	size_t lines;

	if (run_copying(c, &b, err))
		return -1;
	if (c->by_lines)
		wrong = pty_lines_collect(&c->lines, &b, &ret->input);
	lines = ret->input.size;
	if (wrong < 0 || collect(&b, c->output_read, c->output_data, &ret->output) ||
	    collect(&b, c->input_read, c->input_data, &ret->input))
		return error_set(err, ERROR_FAILED, ENOMEM, "terminal");
	if (wrong || total(&b, c->output_written) != ret->output.size ||
	    total(&b, c->input_written) != ret->input.size - lines ||
	    !is_plain(c, &ret->input, lines))
		return put_right(c, ret, err);
	return 0;
}

int pty_queue_copy(const struct pty_ends *ends, const struct termios2 *settings,
		   struct pty_queue *ret, struct error *err)
{
	_cleanup_error_ struct error later = ERROR_INIT;
	struct copying c = { .ends = ends, .own = settings };
	struct pollfd both[2] = { { ends->master, POLLIN, 0 }, { ends->slave, POLLIN, 0 } };
	int r;

	/* Lets the kernel pass on what is on its way. */
	poll(both, 2, 0);
	c.canonical = settings->c_lflag & ICANON;
	waits(ends->master, &c.output_waits);
	waits(ends->slave, &c.input_waits);
	c.by_lines = c.canonical && both[1].revents & POLLIN;
	c.stopped = ret->stopped = output_stopped(ends, c.output_waits);
	/* Whether an incomplete line waits, nothing tells. */
	if (!c.output_waits && !c.input_waits && !c.by_lines &&
	    (!c.canonical || ends->slave_closed))
		return 0;
	if (dump_enter(ends->task, err))
		return -1;
	r = copy(&c, ret, err);
	return dump_leave(ends->task, r ? &later : err) || r ? -1 : 0;
}
