/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FD_PTY_H
#define CL_KINDS_FD_PTY_H

#include <asm/termbits.h>
#include <sys/ioctl.h>

#include "images/pty.pb-c.h"
#include "kinds/files.h"

/*
 * What the kinds of terminals have in common (pty_master.c, terminal.c, controlling_terminal.c,
 * pty_queue.c).
 */

enum {
	PTY_QUEUE_MAX = 44 * 1024,	/* more than waits in one direction */
	PTS_MAJOR = 136,	/* minor is the index */
	CONTROL_CHARACTERS = 19,	/* NCCS of the kernel */
};

extern const struct kind pty_master_kind, terminal_kind, controlling_terminal_kind;

/* Whether it is a pseudo-terminal's master. */
bool pty_is_master(const struct fd_look *look);
/* N of /dev/pts/N for a terminal's device number as stat(2) tells it, -1 for any other. */
int pty_index(dev_t device);
/* The number that /proc/PID/stat shows, and back. */
uint32_t tty_number(dev_t device);
dev_t tty_device(uint32_t number);

/* The master of this index in the tree; NULL when it is outside. */
struct dump_file *pty_find_master(struct dump_files *d, uint32_t index);
/* Whether a description is a slave of this index, under whatever name, and not hung up. */
bool terminal_is_slave(struct dump_files *d, struct dump_file *f, uint32_t index);

/* ---- settings ---- */

struct termios_store {
	Termios message;
	struct termios2 termios;
};

/* Reads the settings of the terminal behind fd. 0, or -1 with errno. */
int termios_get(int fd, struct termios_store *ret);
/* Checks and converts a message; ERROR_IMAGE. */
int termios_unpack(const Termios *m, struct termios2 *ret, struct error *err);
/* Puts settings and size back; a lack of either is fine. */
int terminal_apply(int fd, const Termios *termios, const Winsize *size, struct error *err);
/* 0, or -1 with errno. */
int winsize_get(int fd, Winsize *ret);

/* ---- data that waits in a pseudo-terminal (pty_queue.c) ---- */

struct pty_queue {
	struct buffer output, input;
	bool stopped;
};

void pty_queue_release(struct pty_queue *q);
#define _cleanup_pty_queue_ __attribute__((cleanup(pty_queue_release)))

/* What the queues can be read and written through. */
struct pty_ends {
	struct dump_task *task;	/* a process that holds the master … */
	int number;		/* … at this number */
	int master, slave;	/* our duplicates; slave -1 when the tree has none open */
	uint32_t flags;		/* of the master's description */
	bool packet, slave_closed;
};

/* Copies what waits in both directions; everything stays where it is. */
int pty_queue_copy(const struct pty_ends *ends, const struct termios2 *settings,
		   struct pty_queue *ret, struct error *err);
/* Settings with which bytes pass unchanged. In canonical mode the line ends of the program's own
 * settings count, and nothing else. */
struct termios2 pty_plain_settings(const struct termios2 *own, bool canonical);
/* The same, but end-of-file characters and quoted ones can be written, as pty_quote_input() makes
 * them of the bytes that a reader is to find. 0, or -1 without memory. */
struct termios2 pty_quoting_settings(const struct termios2 *own);
int pty_quote_input(const struct buffer *input, const struct termios2 *own,
		    struct buffer *ret);

/* Puts it back at restore (pty_refill.c), with descriptors of ours for both sides; settings are
 * those of the message and are left set. */
int pty_queue_refill(int master, int slave, const PtyMaster *m, const struct termios2 *settings,
		     struct error *err);

/* ---- restore: a pseudo-terminal being made (pty_pair.c) ---- */

struct pty_pair {
	int master;	/* ours, until a description has taken it over: */
	struct restore_file *file;
	int slave;	/* ours, for own use, -1 when not needed yet; closed in the end */
};

/* Makes a pair with this index by the puppet, which opens the ptmx device. The lock is off. */
int pty_pair_make(struct restore_task *t, const ProtobufCBinaryData *ptmx, uint32_t index,
		  struct pty_pair *ret, struct error *err);
/* Where the pair of this index is kept; NULL without memory. */
struct pty_pair **pty_pair_slot(struct restore_files *r, uint32_t index, struct error *err);
/* The pair of this index, made now from its master's message if it is not there. NULL on error. */
struct pty_pair *pty_pair_get(struct restore_files *r, uint32_t index, struct error *err);
/* Our descriptors for its sides; the slave is opened on first use. -1 on error. */
int pty_pair_master(const struct pty_pair *pair);
int pty_pair_slave(struct pty_pair *pair, struct error *err);

/* The path of the slave of index N, next to where ptmx is; freed by the caller. NULL without
 * memory. */
char *pty_slave_path(const char *ptmx, size_t size, uint32_t index);

#endif
