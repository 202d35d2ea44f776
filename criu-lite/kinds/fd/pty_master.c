/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The master side of a pseudo-terminal, pty(7), with the settings, size and data of the pair. It
 * comes back under the same index. Slaves are kind "terminal".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "kinds/fd/path_file.h"
#include "kinds/fd/pty.h"
#include "kinds/ns/user_namespace.h"

/* ---- dump ---- */

/* A slave of this index that a process of the tree has open. */
static struct dump_file *find_slave(struct dump_files *d, uint32_t index)
{
	struct dump_file *f;

	for (size_t i = 0; (f = dump_files_at(d, i)); i++)
		if (terminal_is_slave(d, f, index))
			return f;
	return NULL;
}

static bool is_on(int fd, unsigned long question)
{
	int answer = 0;

	return !ioctl(fd, question, &answer) && answer;
}

static bool packet_waits(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLPRI };

	return poll(&poller, 1, 0) > 0 && poller.revents & POLLPRI;
}

static bool slave_closed(int fd)
{
	struct pollfd poller = { .fd = fd };

	return poll(&poller, 1, 0) > 0 && poller.revents & POLLHUP;
}

static int pty_master_check(const struct fd_look *look, struct blockers *blockers,
			    struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);

	if (fd < 0 || !is_on(fd, TIOCGPKT) || !packet_waits(fd))
		return 0;
	if (blockers_add(blockers, look->pid,
			 "a status change waits in this terminal in packet mode, which cannot be "
			 "read without taking it away", "try again", "descriptor %d (%s)",
			 look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* Bits of the settings that a privileged process has locked; false when there are none. */
static bool locked_settings(int fd, struct termios_store *ret)
{
	struct termios bits = { 0 };
	static const struct termios none;

	if (ioctl(fd, TIOCGLCKTRMIOS, &bits) || !memcmp(&bits, &none, sizeof(bits)))
		return false;
	ret->termios = (struct termios2){
		.c_iflag = bits.c_iflag,
		.c_oflag = bits.c_oflag,
		.c_cflag = bits.c_cflag,
		.c_lflag = bits.c_lflag,
		.c_line = bits.c_line,
	};
	memcpy(ret->termios.c_cc, bits.c_cc, sizeof(bits.c_cc));
	termios__init(&ret->message);
	ret->message.iflag = bits.c_iflag;
	ret->message.oflag = bits.c_oflag;
	ret->message.cflag = bits.c_cflag;
	ret->message.lflag = bits.c_lflag;
	ret->message.line = bits.c_line;
	ret->message.cc.data = ret->termios.c_cc;
	ret->message.cc.len = CONTROL_CHARACTERS;
	return true;
}

/* Owner and mode of the slave's node. */
static void take_node(const struct dump_file *f, uint32_t index, PtyMaster *m)
{
	_cleanup_free_ char *path = pty_slave_path(f->look.link, strlen(f->look.link), index);
	struct stat st;

	if (!path || stat(path, &st) || pty_index(st.st_rdev) != (int)index)
		return;
	m->has_uid = m->has_gid = m->has_mode = true;
	m->uid = st.st_uid;
	m->gid = st.st_gid;
	m->mode = st.st_mode & 07777;
}

/* Reads the queues through a process that holds the master. */
static int take_queues(struct dump_files *d, struct dump_file *f, int fd,
		       const struct termios2 *settings, PtyMaster *m, struct pty_queue *q,
		       struct error *err)
{
	struct dump_file *slave = find_slave(d, m->index);
	struct pty_ends ends = {
		.task = f->task,
		.number = f->look.number,
		.master = fd,
		.slave = -1,
		.flags = f->look.info.flags & ~O_CLOEXEC,
		.packet = m->packet,
		.slave_closed = m->slave_closed,
	};
	int waits = 0;

	ioctl(fd, FIONREAD, &waits);
	if (slave && (ends.slave = dump_file_fd(d, slave, err)) < 0)
		return -1;
	if ((!slave && !m->slave_closed) || m->lock || !f->task) {
		if (!waits)
			return 0;
		return error_set(err, ERROR_BLOCKED, 0, "%s: output waits in it that cannot be "
				 "copied%s", dump_file_name(f),
				 f->task ? ": its other end is outside of the tree" : "");
	}
	if (m->packet && packet_waits(fd)) {
		error_set(err, ERROR_BLOCKED, 0, "%s: a status change waits in it",
			  dump_file_name(f));
		return error_hint(err, "try again");
	}
	if (pty_queue_copy(&ends, settings, q, err))
		return error_wrap(err, "%s: copying what waits in it", dump_file_name(f));
	m->has_output = q->output.size > 0;
	m->output.data = (uint8_t *)q->output.data;
	m->output.len = q->output.size;
	m->has_input = q->input.size > 0;
	m->input.data = (uint8_t *)q->input.data;
	m->input.len = q->input.size;
	m->has_output_stopped = m->output_stopped = q->stopped;
	return 0;
}

static int pty_master_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	_cleanup_pty_queue_ struct pty_queue queue = { 0 };
	struct termios_store settings, locked;
	PtyMaster m = PTY_MASTER__INIT;
	FileCommon common;
	Winsize size;
	int fd = dump_file_fd(d, f, err);

	if (fd < 0 || dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	if (ioctl(fd, TIOCGPTN, &m.index) || termios_get(fd, &settings) || winsize_get(fd, &size))
		return error_set(err, ERROR_TARGET, errno, "%s: its settings", dump_file_name(f));
	m.path.data = (uint8_t *)f->look.link;
	m.path.len = strlen(f->look.link);
	m.termios = &settings.message;
	m.size = &size;
	m.locked = locked_settings(fd, &locked) ? &locked.message : NULL;
	m.has_lock = m.lock = is_on(fd, TIOCGPTLCK);
	m.has_packet = m.packet = is_on(fd, TIOCGPKT);
	m.has_exclusive = m.exclusive = is_on(fd, TIOCGEXCL);
	m.has_slave_closed = m.slave_closed = slave_closed(fd);
	take_node(f, m.index, &m);
	if (take_queues(d, f, fd, &settings.termios, &m, &queue, err))
		return -1;
	return dump_file_message(d, f, &m.base, err);
}

/* ---- restore ---- */

static int pty_master_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const PtyMaster *m = (const PtyMaster *)f->message;
	struct pty_pair *pair = pty_pair_get(r, m->index, err);

	if (!pair)
		return -1;
	if (pair->file)
		return error_set(err, ERROR_IMAGE, 0, "/dev/pts/%u has two masters", m->index);
	f->fd = steal_fd(&pair->master);
	pair->file = f;
	return restore_file_set_flags(f, err);
}

/* When all slaves of the tree are open: a slave that nobody has open is opened and closed again, so
 * that reading the master ends, as it did. */
static int pty_master_fill(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const PtyMaster *m = (const PtyMaster *)f->message;
	struct pty_pair *pair = pty_pair_get(r, m->index, err);
	struct termios2 settings;
	int slave = -1;

	if (!pair || terminal_apply(f->fd, m->termios, m->size, err) ||
	    termios_unpack(m->termios, &settings, err))
		return -1;
	if (m->slave_closed || m->input.len || m->output.len || m->output_stopped) {
		slave = pty_pair_slave(pair, err);
		if (slave < 0 || pty_queue_refill(f->fd, slave, m, &settings, err))
			return -1;
	}
	fd_close(&pair->slave);
	return 0;
}

static int put_locked_settings(int fd, const Termios *m, struct error *err)
{
	struct termios2 locked;
	struct termios bits;

	if (termios_unpack(m, &locked, err))
		return -1;
	bits = (struct termios){
		.c_iflag = locked.c_iflag,
		.c_oflag = locked.c_oflag,
		.c_cflag = locked.c_cflag,
		.c_lflag = locked.c_lflag,
		.c_line = locked.c_line,
	};
	memcpy(bits.c_cc, locked.c_cc, sizeof(bits.c_cc));
	if (ioctl(fd, TIOCSLCKTRMIOS, &bits))
		return error_set(err, ERROR_FAILED, errno, "TIOCSLCKTRMIOS");
	return 0;
}

static int put_node(const struct restore_file *f, const PtyMaster *m, struct error *err)
{
	_cleanup_free_ char *path = pty_slave_path((char *)m->path.data, m->path.len, m->index);
	_cleanup_batch_ struct batch b = { 0 };
	uint64_t address;

	if (!m->has_uid || !m->has_gid || !m->has_mode)
		return 0;
	if (!path)
		return error_set(err, ERROR_FAILED, ENOMEM, "pseudo-terminal");
	batch_start(&b, &f->opener->agent);
	address = batch_string(&b, path);
	batch_must(&b, SYS_fchownat, AT_FDCWD, address,
		   user_inside(f->opener->restore, m->uid),
		   group_inside(f->opener->restore, m->gid), 0);
	batch_must(&b, SYS_fchmodat, AT_FDCWD, address, m->mode & 07777);
	return restore_run(f->opener, &b, err) ? error_wrap(err, "%s", path) : 0;
}

static int pty_master_link(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const PtyMaster *m = (const PtyMaster *)f->message;
	int on = 1;

	if (m->locked && put_locked_settings(f->fd, m->locked, err))
		return -1;
	if (put_node(f, m, err))
		return -1;
	if ((m->packet && ioctl(f->fd, TIOCPKT, &on)) || (m->exclusive && ioctl(f->fd, TIOCEXCL)) ||
	    (m->lock && ioctl(f->fd, TIOCSPTLCK, &on)))
		return error_set(err, ERROR_FAILED, errno, "/dev/pts/%u: its modes", m->index);
	return 0;
}

static const struct file_ops pty_master_file = {
	.recognise = pty_is_master,
	.check = pty_master_check,
	.dump = pty_master_dump,
	.create = pty_master_create,
	.fill = pty_master_fill,
	.link = pty_master_link,
};

const struct kind pty_master_kind = {
	.name = "pty-master",
	.record = 0x160,
	.scope = KIND_FILE,
	.message = &pty_master__descriptor,
	.help = "masters of pseudo-terminals: index, settings, size, modes, data in both "
		"directions",
	.file = &pty_master_file,
};
