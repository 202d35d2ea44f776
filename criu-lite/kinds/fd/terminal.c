/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Terminals: the slave sides of pseudo-terminals, also by way of /dev/tty, and terminals outside of
 * the tree. The terminal from which a job was started becomes the one from which it is restored
 * (or what --stdio says); any kind of terminal can be that, also a virtual console. What has been
 * hung up comes back hung up.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/fd/path_file.h"
#include "kinds/fd/pty.h"

enum {
	/* Documentation/admin-guide/devices.txt */
	TTY_MAJOR = 4,		/* virtual consoles, serial lines */
	TTYAUX_MAJOR = 5,	/* 0 is /dev/tty, 1 /dev/console */
	AUX_TTY = 0, AUX_CONSOLE = 1,
	LARGEFILE_FLAG = 0100000,	/* O_LARGEFILE is 0 for 64-bit programs */
	ACM_MAJOR = 166, USB_MAJOR = 188, LOW_DENSITY_MAJOR = 204, HVC_MAJOR = 229,
};

static bool terminal_recognise(const struct fd_look *look)
{
	if (!S_ISCHR(look->st.st_mode) || look->info.flags & O_PATH)
		return false;
	switch (major(look->st.st_rdev)) {
	case TTYAUX_MAJOR:
		return minor(look->st.st_rdev) <= AUX_CONSOLE;
	case PTS_MAJOR:
	case TTY_MAJOR:
	case ACM_MAJOR:
	case USB_MAJOR:
	case LOW_DENSITY_MAJOR:
	case HVC_MAJOR:
		return true;
	}
	return false;
}

/* The terminal behind a descriptor of ours: /dev/tty and /dev/console stand for another one. False
 * when it has been hung up. */
static bool real_device(int fd, dev_t *ret)
{
	uint32_t number;

	if (ioctl(fd, TIOCGDEV, &number))
		return false;
	*ret = tty_device(number);
	return true;
}

bool terminal_is_slave(struct dump_files *d, struct dump_file *f, uint32_t index)
{
	struct error gone = ERROR_INIT;
	dev_t device = 0;
	int fd;

	if (!terminal_recognise(&f->look))
		return false;
	fd = dump_file_fd(d, f, &gone);
	error_clear(&gone);
	return fd >= 0 && real_device(fd, &device) && pty_index(device) == (int)index;
}

static bool is_controlling(const struct fd_look *look, dev_t device)
{
	struct error gone = ERROR_INIT;
	struct proc_stat stat;

	if (proc_read_stat(look->proc_fd, &stat, &gone)) {
		error_clear(&gone);
		return false;
	}
	return (uint32_t)stat.tty_nr == tty_number(device);
}

/* A terminal outside of the tree is fine as long as it is the program's own: its standard
 * descriptors, or its controlling terminal. */
static bool terminal_outside(const struct fd_scan *scan, const struct fd_look *look)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	const struct fd_look *other = NULL;
	dev_t device;

	if (fd < 0 || look->number <= STDERR_FILENO || !real_device(fd, &device))
		return false;
	while ((other = fd_scan_next(scan, other)))
		if (pty_is_master(other) && other->info.tty_index == pty_index(device))
			return false;
	return !is_controlling(look, device);
}

static int terminal_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	int discipline;

	if (fd < 0 || ioctl(fd, TIOCGETD, &discipline) || discipline == N_TTY)
		return 0;
	if (blockers_add(
		    blockers, look->pid,
		    "a terminal with another line discipline than the usual one cannot be saved",
		    "end the program that uses the line (slip, ppp, bluetooth …)",
		    "descriptor %d (%s)", look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* ---- dump ---- */

struct dump_file *pty_find_master(struct dump_files *d, uint32_t index)
{
	struct dump_file *f;

	for (size_t i = 0; (f = dump_files_at(d, i)); i++)
		if (pty_is_master(&f->look) && (uint32_t)f->look.info.tty_index == index)
			return f;
	return NULL;
}

static int terminal_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Terminal m = TERMINAL__INIT;
	struct termios_store settings;
	FileCommon common;
	dev_t device = f->look.st.st_rdev;
	Winsize size;
	int fd = dump_file_fd(d, f, err), exclusive = 0, index;

	if (fd < 0 || dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.path.data = (uint8_t *)f->look.link;
	m.path.len = strlen(f->look.link);
	m.has_hung_up = m.hung_up = !real_device(fd, &device);
	m.device = tty_number(device);
	index = pty_index(device);
	m.has_outside = m.outside = !m.hung_up && (index < 0 || !pty_find_master(d, index));
	m.has_exclusive = m.exclusive = !ioctl(fd, TIOCGEXCL, &exclusive) && exclusive;
	if (m.outside) {
		if (termios_get(fd, &settings) || winsize_get(fd, &size))
			return error_set(err, ERROR_TARGET, errno, "%s: its settings",
					 dump_file_name(f));
		m.termios = &settings.message;
		m.size = &size;
	}
	return dump_file_message(d, f, &m.base, err);
}

/* ---- restore ---- */

/* Flags for TIOCGPTPEER, which keeps every one it is given: O_CLOEXEC would stay in the
 * description, and O_LARGEFILE is not added as open(2) does. */
static int peer_flags(const Terminal *m)
{
	return (m->common->flags & (O_ACCMODE | O_NONBLOCK | LARGEFILE_FLAG)) | O_NOCTTY;
}

/* The slave of a pair whose master is closed at once. */
static int open_hung_up(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;
	_cleanup_batch_ struct batch b = { 0 };
	int master, slave, unlock = 0;

	batch_start(&b, &f->opener->agent);
	master = batch_must(&b, SYS_openat, AT_FDCWD, batch_string(&b, "/dev/ptmx"),
			    O_RDWR | O_NOCTTY | O_CLOEXEC);
	batch_from(&b, batch_must(&b, SYS_ioctl, 0, TIOCSPTLCK,
				  batch_put(&b, &unlock, sizeof(unlock))), 0, master);
	slave = batch_must(&b, SYS_ioctl, 0, TIOCGPTPEER, peer_flags(m));
	batch_from(&b, slave, 0, master);
	batch_from(&b, batch_must(&b, SYS_close, 0), 0, master);
	return restore_open(r, f, &b, slave, err);
}

static int open_slave(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;
	int index = pty_index(tty_device(m->device)), record;
	struct pty_pair *pair = index < 0 ? NULL : pty_pair_get(r, index, err);
	int flags = (m->common->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC;
	_cleanup_batch_ struct batch b = { 0 };
	dev_t device = 0;
	uint64_t path;

	if (!pair)
		return error_set(err, ERROR_IMAGE, 0, "terminal %#x is none of the image",
				 m->device);
	batch_start(&b, &f->opener->agent);
	path = path_file_string(&m->path, &b, err);
	if (!path)
		return -1;
	/* Whatever the path leads to: opening it must not wait. */
	record = batch_call(&b, SYS_openat, AT_FDCWD, path, flags | O_NONBLOCK);
	if (restore_run(f->opener, &b, err))
		return -1;
	if (batch_result(&b, record) >= 0) {
		f->fd = restore_fetch(r, f->opener, batch_result(&b, record), err);
		if (f->fd < 0)
			return -1;
		if (!real_device(f->fd, &device) || pty_index(device) != index)
			fd_close(&f->fd);
	}
	/* Its name may be known to its program alone (a bind mount, /dev/tty of another). */
	if (f->fd < 0)
		f->fd = ioctl(pty_pair_master(pair), TIOCGPTPEER, peer_flags(m));
	if (f->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "/dev/pts/%d", index);
	return 0;
}

/* A description of its own of our terminal, so that its flags are its own. */
static int open_ours(uint32_t flags, struct error *err)
{
	char path[32];
	int fd;

	for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
		if (!isatty(number))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
		fd = open(path, (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			error_set(err, ERROR_FAILED, errno, "cannot open our terminal again");
		return fd;
	}
	error_set(err, ERROR_FAILED, 0, "the program was on a terminal, and we have none to give");
	return error_hint(err, "restore it in a terminal, or with --stdio null or --stdio FILE");
}

static int open_outside(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;
	int relay = restore_files_run(r)->relay;
	const char *file;

	if (restore_files_stdio(r, &file) == STDIO_INHERIT) {
		f->fd = relay < 0 ? open_ours(m->common->flags, err) :
				    ioctl(relay, TIOCGPTPEER, peer_flags(m));
		return f->fd >= 0 ? 0 : error_set(err, ERROR_FAILED, errno, "the new terminal");
	}
	if (restore_files_stdio(r, &file) == STDIO_NULL)
		file = NULL;
	f->fd = stdio_open(restore_files_run(r), file, m->common->flags & O_ACCMODE);
	return f->fd < 0 ? error_set(err, ERROR_FAILED, errno, "%s", file ? file : "/dev/null") :
			   0;
}

static int terminal_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;

	if (m->outside)
		return open_outside(r, f, err);
	return m->hung_up ? open_hung_up(r, f, err) : open_slave(r, f, err);
}

static int terminal_link(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;

	if (!m->outside && !m->hung_up && m->exclusive && ioctl(f->fd, TIOCEXCL))
		return error_set(err, ERROR_FAILED, errno, "TIOCEXCL");
	return restore_file_set_flags(f, err);
}

static void tell_group(const struct restore *run, uint32_t group)
{
	struct restore_task **t;

	array_for(t, &run->tasks)
		if (!(*t)->zombie && (uint32_t)(*t)->pgid == group)
			kill((*t)->threads.items[0]->tracee.tgid, SIGWINCH);
}

/* Who reads the size of the terminal only when told of a change must be told now. The signal stays
 * pending in the puppets until the program runs. */
static void tell_size(struct restore_files *r, const struct restore_file *f)
{
	const Terminal *m = (const Terminal *)f->message;
	struct restore *run = restore_files_run(r);
	struct restore_task **t;
	Winsize now;

	if (!m->size || winsize_get(f->fd, &now) ||
	    (now.rows == m->size->rows && now.columns == m->size->columns))
		return;
	array_for(t, &run->tasks) {
		const ControllingTerminal *terminal = (const ControllingTerminal *)
			restore_task_state(*t, &controlling_terminal_kind);

		if (terminal && terminal->has_foreground &&
		    terminal->terminal != CONTROLLING_TERMINAL__TERMINAL__INSIDE)
			tell_group(run, terminal->foreground);
	}
}

/* Our own terminal gets the program's settings as late as can be. */
static int terminal_installed(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Terminal *m = (const Terminal *)f->message;
	sigset_t background, before;
	bool ours = restore_files_run(r)->relay < 0;
	int result;

	if (!m->outside || !isatty(f->fd))
		return 0;
	sigemptyset(&background);
	sigaddset(&background, SIGTTOU);
	sigprocmask(SIG_BLOCK, &background, &before);
	result = terminal_apply(f->fd, m->termios, ours ? NULL : m->size, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (ours)
		tell_size(r, f);
	return result;
}

static const struct file_ops terminal_file = {
	.recognise = terminal_recognise,
	.outside = terminal_outside,
	.check = terminal_check,
	.dump = terminal_dump,
	.create = terminal_create,
	.link = terminal_link,
	.installed = terminal_installed,
};

const struct kind terminal_kind = {
	.name = "terminal",
	.record = 0x161,
	.scope = KIND_FILE,
	.message = &terminal__descriptor,
	.help = "slaves of pseudo-terminals; a terminal outside becomes the restorer's own",
	.file = &terminal_file,
};
