/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making a pseudo-terminal with a given index, and what both sides of it are known by. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "kinds/fd/pty.h"
#include "kinds/fd/path_file.h"
#include "kinds/fd_scan.h"

enum { TTYAUX_MAJOR = 5, PTMX_MINOR = 2, CLOSES_PER_BATCH = 256 };

bool pty_is_master(const struct fd_look *look)
{
	return S_ISCHR(look->st.st_mode) && !(look->info.flags & O_PATH) &&
	       look->st.st_rdev == makedev(TTYAUX_MAJOR, PTMX_MINOR) &&
	       proc_fdinfo_has(&look->info, FDINFO_TTY);
}

int pty_index(dev_t device)
{
	return major(device) == PTS_MAJOR ? (int)minor(device) : -1;
}

uint32_t tty_number(dev_t device)
{
	return (minor(device) & 0xff) | major(device) << 8 | (minor(device) & ~0xffu) << 12;
}

dev_t tty_device(uint32_t number)
{
	return makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00));
}

char *pty_slave_path(const char *ptmx, size_t size, uint32_t index)
{
	static const char inside[] = "/pts/ptmx";
	size_t tail = strlen(inside);
	char *path;
	int r;

	if (size >= tail && !memcmp(ptmx + size - tail, inside, tail))
		r = asprintf(&path, "%.*s/pts/%u", (int)(size - tail), ptmx, index);
	else
		r = asprintf(&path, "/dev/pts/%u", index);
	return r < 0 ? NULL : path;
}

/* ---- settings ---- */

int termios_get(int fd, struct termios_store *ret)
{
	Termios *m = &ret->message;

	if (ioctl(fd, TCGETS2, &ret->termios))
		return -1;
	termios__init(m);
	m->iflag = ret->termios.c_iflag;
	m->oflag = ret->termios.c_oflag;
	m->cflag = ret->termios.c_cflag;
	m->lflag = ret->termios.c_lflag;
	m->line = ret->termios.c_line;
	m->cc.data = ret->termios.c_cc;
	m->cc.len = CONTROL_CHARACTERS;
	m->ispeed = ret->termios.c_ispeed;
	m->ospeed = ret->termios.c_ospeed;
	return 0;
}

int termios_unpack(const Termios *m, struct termios2 *ret, struct error *err)
{
	_Static_assert(sizeof(ret->c_cc) == CONTROL_CHARACTERS, "control characters of the kernel");
	if (m->cc.len != CONTROL_CHARACTERS || m->line > UINT8_MAX)
		return error_set(err, ERROR_IMAGE, 0,
				 "terminal settings with %zu control characters", m->cc.len);
	*ret = (struct termios2){
		.c_iflag = m->iflag,
		.c_oflag = m->oflag,
		.c_cflag = m->cflag,
		.c_lflag = m->lflag,
		.c_line = m->line,
		.c_ispeed = m->ispeed,
		.c_ospeed = m->ospeed,
	};
	memcpy(ret->c_cc, m->cc.data, sizeof(ret->c_cc));
	return 0;
}

int winsize_get(int fd, Winsize *ret)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size))
		return -1;
	winsize__init(ret);
	ret->rows = size.ws_row;
	ret->columns = size.ws_col;
	ret->width = size.ws_xpixel;
	ret->height = size.ws_ypixel;
	return 0;
}

int terminal_apply(int fd, const Termios *termios, const Winsize *size, struct error *err)
{
	struct termios2 settings;

	if (termios && termios_unpack(termios, &settings, err))
		return -1;
	if (termios && ioctl(fd, TCSETS2, &settings))
		return error_set(err, ERROR_FAILED, errno, "terminal settings");
	if (size) {
		struct winsize wanted = { size->rows, size->columns, size->width, size->height };

		if (ioctl(fd, TIOCSWINSZ, &wanted))
			return error_set(err, ERROR_FAILED, errno, "terminal size");
	}
	return 0;
}

/* ---- making a pair ---- */

struct numbers {
	ARRAY_OF(int) list;
};

/* Opens one more ptmx in the puppet. */
static int open_ptmx(struct restore_task *t, const ProtobufCBinaryData *ptmx,
		     struct numbers *opened, uint32_t *ret_index, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	uint64_t path, index;
	int record, *number;

	batch_start(&b, &t->agent);
	path = path_file_string(ptmx, &b, err);
	if (!path)
		return -1;
	record = batch_must(&b, SYS_openat, AT_FDCWD, path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	index = batch_space(&b, sizeof(uint32_t));
	batch_from(&b, batch_must(&b, SYS_ioctl, 0, TIOCGPTN, index), 0, record);
	if (restore_run(t, &b, err))
		return error_wrap(err, "%.*s", (int)ptmx->len, ptmx->data);
	number = array_add(&opened->list);
	if (!number)
		return error_set(err, ERROR_FAILED, ENOMEM, "pseudo-terminal");
	*number = batch_result(&b, record);
	memcpy(ret_index, batch_at(&b, index), sizeof(*ret_index));
	return 0;
}

static int close_all(struct restore_task *t, const struct numbers *opened, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	for (size_t i = 0; i < opened->list.count;) {
		batch_start(&b, &t->agent);
		for (size_t k = 0; k < CLOSES_PER_BATCH && i < opened->list.count; k++, i++)
			batch_must(&b, SYS_close, opened->list.items[i]);
		if (restore_run(t, &b, err))
			return -1;
	}
	return 0;
}

/* A process that has this terminal open, 0 when none is found. */
static pid_t find_holder(uint32_t index)
{
	_cleanup_dir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "/dev/pts/%u", index);
	while (proc && (entry = readdir(proc))) {
		char path[300], link[64];
		_cleanup_dir_ DIR *fds = NULL;
		struct dirent *fd;

		snprintf(path, sizeof(path), "/proc/%s/fd", entry->d_name);
		fds = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? opendir(path) : NULL;
		while (fds && (fd = readdir(fds))) {
			ssize_t size = readlinkat(dirfd(fds), fd->d_name, link, sizeof(link) - 1);

			link[size > 0 ? size : 0] = '\0';
			if (!strcmp(link, wanted))
				return fd_number(entry->d_name);
		}
	}
	return 0;
}

static int index_taken(uint32_t index, struct error *err)
{
	pid_t holder = find_holder(index);

	if (holder)
		error_set(err, ERROR_FAILED, 0, "/dev/pts/%u is taken by process %d", index,
			  holder);
	else
		error_set(err, ERROR_FAILED, 0, "/dev/pts/%u is taken", index);
	return error_hint(err, "close that terminal, or restore where its number is free");
}

/* The kernel gives out the lowest free index, so all below the wanted one are taken meanwhile. */
int pty_pair_make(struct restore_task *t, const ProtobufCBinaryData *ptmx, uint32_t index,
		  struct pty_pair *ret, struct error *err)
{
	struct numbers opened = { 0 };
	_cleanup_fd_ int master = -1;
	uint32_t got = 0;
	int unlock = 0, r;

	do
		r = open_ptmx(t, ptmx, &opened, &got, err);
	while (!r && got < index);
	if (!r && got == index)
		master = puppet_fetch_fd(t, opened.list.items[opened.list.count - 1], err);
	if (!r)
		r = close_all(t, &opened, err);
	array_release(&opened.list);
	if (r || (got == index && master < 0))
		return -1;
	if (got != index)
		return index_taken(index, err);
	if (ioctl(master, TIOCSPTLCK, &unlock))
		return error_set(err, ERROR_FAILED, errno, "/dev/pts/%u: TIOCSPTLCK", index);
	*ret = (struct pty_pair){ .master = steal_fd(&master), .slave = -1 };
	return 0;
}

struct pty_pair **pty_pair_slot(struct restore_files *r, uint32_t index, struct error *err)
{
	void **slot = restore_files_shared(r, &pty_master_kind, index);

	if (!slot)
		error_set(err, ERROR_FAILED, ENOMEM, "pseudo-terminal");
	return (struct pty_pair **)slot;
}

static struct restore_file *find_master(struct restore_files *r, uint32_t index)
{
	struct restore_file *f;

	for (size_t i = 0; (f = restore_files_at(r, i)); i++)
		if (f->kind == &pty_master_kind && ((const PtyMaster *)f->message)->index == index)
			return f;
	return NULL;
}

struct pty_pair *pty_pair_get(struct restore_files *r, uint32_t index, struct error *err)
{
	struct pty_pair **slot = pty_pair_slot(r, index, err);
	_cleanup_free_ struct pty_pair *pair = NULL;
	struct restore_file *master;

	if (!slot || *slot)
		return slot ? *slot : NULL;
	master = find_master(r, index);
	pair = calloc(1, sizeof(*pair));
	if (!master)
		error_set(err, ERROR_IMAGE, 0, "/dev/pts/%u has no master in the image", index);
	else if (!pair)
		error_set(err, ERROR_FAILED, ENOMEM, "pseudo-terminal");
	else if (!pty_pair_make(master->opener, &((const PtyMaster *)master->message)->path, index,
				pair, err))
		*slot = steal_ptr(pair);
	return *slot;
}

int pty_pair_master(const struct pty_pair *pair)
{
	return pair->file ? pair->file->fd : pair->master;
}

int pty_pair_slave(struct pty_pair *pair, struct error *err)
{
	if (pair->slave >= 0)
		return pair->slave;
	pair->slave = ioctl(pty_pair_master(pair), TIOCGPTPEER,
			    O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (pair->slave < 0)
		error_set(err, ERROR_FAILED, errno, "pseudo-terminal: cannot open its slave");
	return pair->slave;
}
