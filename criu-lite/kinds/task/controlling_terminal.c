/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controlling terminals of sessions, and their foreground process groups, credentials(7). Those on
 * a pseudo-terminal of the tree get the pair with the index it had. A tree that was a job of a
 * session outside becomes one of the restorer's session, on the restorer's terminal.
 */
#include "kinds/task/controlling_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/fd/pty.h"

/* ---- dump ---- */

static const struct dump_task *find_task(const struct dump *d, pid_t pid)
{
	struct dump_task **t;

	array_for(t, &d->tasks)
		if ((*t)->pid == pid)
			return *t;
	return NULL;
}

static bool group_in_tree(const struct dump *d, pid_t group)
{
	struct dump_task **t;

	array_for(t, &d->tasks)
		if (group > 0 && (*t)->stat.pgrp == group)
			return true;
	return false;
}

static bool leads_session(const struct dump_task *t)
{
	return t->stat.session == t->pid;
}

/* False when the process's terminal follows from its birth. */
static bool describe(struct dump *d, const struct dump_task *t, ControllingTerminal *m)
{
	const struct dump_task *leader = find_task(d, t->stat.session);
	int index = pty_index(tty_device(t->stat.tty_nr));
	const struct dump_file *master = NULL;

	if (!t->stat.tty_nr) {
		/* Of a session outside nobody of the tree may have a terminal, too. */
		m->terminal = CONTROLLING_TERMINAL__TERMINAL__NONE;
		return leader ? !leads_session(t) && leader->stat.tty_nr : t == d->tasks.items[0];
	}
	if (!leads_session(t) && (leader || t != d->tasks.items[0]))
		return false;
	m->has_foreground = group_in_tree(d, t->stat.tty_pgrp);
	m->foreground = t->stat.tty_pgrp;
	m->terminal = CONTROLLING_TERMINAL__TERMINAL__INHERITED;
	if (!leads_session(t))
		return true;
	master = index < 0 ? NULL : pty_find_master(d->files, index);
	m->terminal = master ? CONTROLLING_TERMINAL__TERMINAL__INSIDE :
			       CONTROLLING_TERMINAL__TERMINAL__OUTSIDE;
	if (!master)
		return true;
	m->has_index = m->has_path = true;
	m->index = index;
	m->path.data = (uint8_t *)master->look.link;
	m->path.len = strlen(master->look.link);
	return true;
}

static int controlling_terminal_take(struct dump_thread *t, const struct batch *b,
				     const struct ask *ask, struct error *err)
{
	ControllingTerminal m = CONTROLLING_TERMINAL__INIT;
	struct dump *d = t->task->dump;

	m.pid = t->task->pid;
	return describe(d, t->task, &m) ? dump_state(d, &controlling_terminal_kind, &m.base, err) :
					  0;
}

/* ---- restore ---- */

static const ControllingTerminal *terminal_of(const struct restore_task *t)
{
	return (const ControllingTerminal *)restore_task_state(t, &controlling_terminal_kind);
}

/* Runs an ioctl(2) on a descriptor of ours in the puppet. */
static int ioctl_there(struct restore_task *t, int fd, unsigned long request, pid_t argument,
		       struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct hand_over given;
	int number;

	batch_start(&b, &t->agent);
	if (puppet_send_fds(t, &fd, 1, &b, &given, err) || restore_run(t, &b, err))
		return -1;
	number = puppet_received(&b, &given, 0);
	batch_start(&b, &t->agent);
	/* TIOCSPGRP reads its argument from memory, TIOCSCTTY takes the value 0. */
	batch_call(&b, SYS_ioctl, number, request,
		   argument ? batch_put(&b, &argument, sizeof(argument)) : 0);
	batch_must(&b, SYS_close, number);
	if (restore_run(t, &b, err))
		return -1;
	return batch_result(&b, 0) < 0 ? -batch_result(&b, 0) : 0;
}

static int begin_inside(struct restore_task *leader, const ControllingTerminal *m,
			struct error *err)
{
	struct pty_pair **slot = pty_pair_slot(leader->restore->files, m->index, err);
	_cleanup_free_ struct pty_pair *pair = NULL;
	int slave, r;

	if (!slot)
		return -1;
	if (*slot)
		return error_set(err, ERROR_IMAGE, 0, "two sessions on /dev/pts/%u", m->index);
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return error_set(err, ERROR_FAILED, ENOMEM, "pseudo-terminal");
	if (pty_pair_make(leader, &m->path, m->index, pair, err))
		return -1;
	*slot = pair;
	slave = pty_pair_slave(steal_ptr(pair), err);
	if (slave < 0)
		return -1;
	r = ioctl_there(leader, slave, TIOCSCTTY, 0, err);
	return r > 0 ? error_set(err, ERROR_FAILED, r, "/dev/pts/%u: TIOCSCTTY", m->index) : r;
}

/* A terminal cannot have two sessions, and ours has one: the leader gets a new one, between which
 * and ours our caller copies. */
static int begin_outside(struct restore_task *leader, struct error *err)
{
	struct restore *run = leader->restore;
	_cleanup_fd_ int slave = -1;
	const char *file;
	int unlock = 0, r;

	if (restore_files_stdio(run->files, &file) != STDIO_INHERIT)
		return 0;
	if (run->relay >= 0)
		return error_set(err, ERROR_FAILED, 0, "two sessions want our terminal");
	if (!run->relays) {
		error_set(err, ERROR_FAILED, 0, "its session wants a terminal, and we cannot stand "
			  "between it and ours");
		return error_hint(err, "restore it in the foreground of a terminal, without --detach, "
				  "or with --stdio null or --stdio FILE");
	}
	run->relay = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (run->relay < 0 || ioctl(run->relay, TIOCSPTLCK, &unlock) ||
	    (slave = ioctl(run->relay, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot make a pseudo-terminal");
	r = ioctl_there(leader, slave, TIOCSCTTY, 0, err);
	return r > 0 ? error_set(err, ERROR_FAILED, r, "TIOCSCTTY") : r;
}

int controlling_terminal_begin(struct restore_task *leader, struct error *err)
{
	const ControllingTerminal *m = terminal_of(leader);
	int r = 0;

	if (m && m->terminal == CONTROLLING_TERMINAL__TERMINAL__INSIDE)
		r = begin_inside(leader, m, err);
	else if (m && m->terminal == CONTROLLING_TERMINAL__TERMINAL__OUTSIDE)
		r = begin_outside(leader, err);
	return r ? error_wrap(err, "process %d: controlling terminal", leader->pid) : 0;
}

static void plan_give_up(struct batch *b)
{
	int fd = batch_call(b, SYS_openat, AT_FDCWD, batch_string(b, "/dev/tty"),
			    O_RDONLY | O_NOCTTY | O_CLOEXEC);

	/* Where there was none already, these have no descriptor to work on. */
	batch_from(b, batch_call(b, SYS_ioctl, 0, TIOCNOTTY), 0, fd);
	batch_from(b, batch_call(b, SYS_close, 0), 0, fd);
}

/* A group may have lost its last member by now; the kernel refuses it then. */
static int put_foreground(struct restore_task *t, int terminal, uint32_t group, struct error *err)
{
	int r = ioctl_there(t, terminal, TIOCSPGRP, group, err);

	if (r > 0)
		log_info("process %d: group %u is not in the foreground: %s", t->pid, group,
			 strerror(r));
	return r < 0 ? -1 : 0;
}

static int put_foreground_inside(struct restore_task *t, const ControllingTerminal *m,
				 struct error *err)
{
	struct pty_pair **slot = pty_pair_slot(t->restore->files, m->index, err);

	if (!slot || !*slot)
		return slot ? error_set(err, ERROR_IMAGE, 0, "no /dev/pts/%u", m->index) : -1;
	return put_foreground(t, pty_pair_master(*slot), m->foreground, err);
}

static bool is_group(const struct restore *run, uint32_t group)
{
	struct restore_task **t;

	array_for(t, &run->tasks)
		if ((uint32_t)(*t)->pgid == group)
			return true;
	return false;
}

/* The restorer shares session and terminal with the tree, so it can do this itself. */
static int put_foreground_inherited(const ControllingTerminal *m, struct error *err)
{
	sigset_t background, before;
	_cleanup_fd_ int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	pid_t group = m->foreground;
	int r;

	if (fd < 0)
		return 0;
	sigemptyset(&background);
	sigaddset(&background, SIGTTOU);
	sigprocmask(SIG_BLOCK, &background, &before);
	r = ioctl(fd, TIOCGPGRP, &group);
	/* In the background the terminal is somebody else's at the moment. */
	if (!r && group == getpgrp()) {
		group = m->foreground;
		r = ioctl(fd, TIOCSPGRP, &group);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r ? error_set(err, ERROR_FAILED, errno, "group %d: foreground of our terminal",
			     group)
		 : 0;
}

static int controlling_terminal_put(struct restore_thread *t, const ProtobufCMessage *message,
				    struct batch *b, struct error *err)
{
	const ControllingTerminal *m = (const ControllingTerminal *)message;

	if (m->terminal == CONTROLLING_TERMINAL__TERMINAL__NONE)
		plan_give_up(b);
	if (!m->has_foreground)
		return 0;
	if (!is_group(t->task->restore, m->foreground))
		return error_set(err, ERROR_IMAGE, 0, "process %d: group %u is not in the tree",
				 t->task->pid, m->foreground);
	switch (m->terminal) {
	case CONTROLLING_TERMINAL__TERMINAL__INSIDE:
		return put_foreground_inside(t->task, m, err);
	case CONTROLLING_TERMINAL__TERMINAL__OUTSIDE:
		return t->task->restore->relay < 0 ? 0 :
			put_foreground(t->task, t->task->restore->relay, m->foreground, err);
	case CONTROLLING_TERMINAL__TERMINAL__INHERITED:
		return put_foreground_inherited(m, err);
	default:
		return 0;
	}
}

static const struct state_ops controlling_terminal_state = {
	.take = controlling_terminal_take,
	.put = controlling_terminal_put,
};

const struct kind controlling_terminal_kind = {
	.name = "controlling-terminal",
	.record = 0x171,
	.scope = KIND_TASK,
	.message = &controlling_terminal__descriptor,
	.help = "controlling terminals of sessions, with the foreground process group",
	.state = &controlling_terminal_state,
};
