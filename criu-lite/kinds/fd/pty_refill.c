/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting back what waited in a pseudo-terminal, with descriptors of ours for both sides. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/fd/pty.h"

enum {
	PIECE = 1024,
	TRIES = 100,		/* a millisecond each */
	DIRECT = 4000,		/* fits into the line discipline */

	CHAR_EOF = 0x04,
	CHAR_QUOTE = 0x16,
};

struct termios2 pty_plain_settings(const struct termios2 *own, bool canonical)
{
	struct termios2 plain = *own;

	plain.c_iflag = plain.c_oflag = 0;
	plain.c_lflag = canonical ? ICANON : 0;
	memset(plain.c_cc, 0, sizeof(plain.c_cc));
	plain.c_cc[VMIN] = 1;
	if (canonical) {
		plain.c_cc[VEOL] = own->c_cc[VEOL];
		plain.c_cc[VEOL2] = own->c_cc[VEOL2];
	}
	return plain;
}

struct termios2 pty_quoting_settings(const struct termios2 *own)
{
	struct termios2 plain = pty_plain_settings(own, own->c_lflag & ICANON);

	if (own->c_lflag & ICANON) {
		plain.c_lflag |= IEXTEN;
		plain.c_cc[VEOF] = CHAR_EOF;
		plain.c_cc[VLNEXT] = CHAR_QUOTE;
	}
	return plain;
}

/* Whether it would not be a byte like any other. */
static bool is_special(unsigned char c, const struct termios2 *own)
{
	return c && c < ' ' && c != '\n' && c != own->c_cc[VEOL] && c != own->c_cc[VEOL2];
}

int pty_quote_input(const struct buffer *input, const struct termios2 *own, struct buffer *ret)
{
	bool canonical = own->c_lflag & ICANON;

	for (size_t i = 0; i < input->size; i++) {
		char c = input->data[i];
		char quoted[2] = { CHAR_QUOTE, c };

		if (canonical && c == '\0')
			quoted[1] = CHAR_EOF;
		if (canonical && is_special(c, own) ? buffer_append(ret, quoted, 2) :
						      buffer_append(ret, &quoted[1], 1))
			return -1;
	}
	return 0;
}

/* In pieces, as much as the terminal takes; fd does not block. */
static int write_pieces(int fd, const void *data, size_t size, struct error *err)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	size_t done = 0;
	int tries = 0;

	while (done < size) {
		size_t left = size - done;
		ssize_t r = write(fd, (const char *)data + done, left < PIECE ? left : PIECE);

		if (r > 0) {
			done += r;
			tries = 0;
		} else if ((r < 0 && errno != EAGAIN && errno != EINTR) || ++tries > TRIES) {
			return error_set(err, ERROR_FAILED, r < 0 ? errno : 0,
					 "%zu bytes are too many for a terminal", size);
		} else {
			nanosleep(&moment, NULL);
		}
	}
	return 0;
}

/* Byte by byte into the line discipline, without a worker between; what is beyond its buffer waits
 * before it, as it did. */
static int type_input(int master, int slave, const struct buffer *quoted, struct error *err)
{
	size_t direct = quoted->size < DIRECT ? quoted->size : DIRECT;
	int flags = fcntl(master, F_GETFL), r;

	for (size_t i = 0; i < direct; i++)
		if (ioctl(slave, TIOCSTI, quoted->data + i))
			return error_set(err, ERROR_FAILED, errno, "input of a terminal");
	if (direct == quoted->size)
		return 0;
	if (fcntl(master, F_SETFL, flags | O_NONBLOCK))
		return error_set(err, ERROR_FAILED, errno, "F_SETFL");
	r = write_pieces(master, quoted->data + direct, quoted->size - direct, err);
	return fcntl(master, F_SETFL, flags) || r ? -1 : 0;
}

int pty_queue_refill(int master, int slave, const PtyMaster *m, const struct termios2 *settings,
		     struct error *err)
{
	struct buffer input = { (char *)m->input.data, m->input.len, 0 };
	_cleanup_buffer_ struct buffer quoted = { 0 };
	struct termios2 plain = pty_quoting_settings(settings);

	if (m->input.len > PTY_QUEUE_MAX || m->output.len > PTY_QUEUE_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a terminal cannot hold %zu and %zu bytes",
				 m->input.len, m->output.len);
	if (pty_quote_input(&input, settings, &quoted))
		return error_set(err, ERROR_FAILED, ENOMEM, "terminal");
	if (ioctl(slave, TCSETS2, &plain))
		return error_set(err, ERROR_FAILED, errno, "terminal settings");
	if (write_pieces(slave, m->output.data, m->output.len, err) ||
	    type_input(master, slave, &quoted, err))
		return -1;
	if (ioctl(slave, TCSETS2, settings))
		return error_set(err, ERROR_FAILED, errno, "terminal settings");
	if (!m->output_stopped)
		return 0;
	if (settings->c_iflag & IXON ? ioctl(slave, TIOCSTI, &settings->c_cc[VSTOP]) :
				       ioctl(slave, TCXONC, TCOOFF))
		return error_set(err, ERROR_FAILED, errno, "stopping the output of a terminal");
	return 0;
}
