/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kernel-compat/calls.h"
#include "kinds/ns/user_namespace.h"
#include "kinds/socket/unix.h"

/* One call, and where its results go; in memory that a stand-in shares. */
struct call {
	long number;		/* SYS_socketpair, SYS_listen, SYS_connect, SYS_sendmsg */
	int fd;
	int type;		/* socketpair */
	int backlog;		/* listen */
	struct sockaddr_un address;	/* connect; a path leads through .file */
	socklen_t address_size;
	int file;		/* or -1 */
	struct msghdr *message;	/* sendmsg */

	int pair[2];		/* socketpair */
	long result;
	int os_error;
};

static struct restore_task *puppet_of(struct restore_files *r, pid_t pid)
{
	struct restore_task **t;

	array_for(t, &restore_files_run(r)->tasks)
		if ((*t)->pid == pid)
			return *t;
	return NULL;
}

/* ---- in a stand-in ---- */

static void stand_in_call(struct call *c, const UnixSocket__Credentials *who)
{
	if (c->number == SYS_sendmsg) {
		c->result = sendmsg(c->fd, c->message, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (sys_set_effective_ids(who->n_groups, who->groups, who->gid, who->uid))
		return;
	/* Files of names are reached as before. */
	sys_set_file_ids(0, 0);
	if (c->number == SYS_socketpair) {
		c->result = socketpair(AF_UNIX, c->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, c->pair);
	} else if (c->number == SYS_listen) {
		c->result = listen(c->fd, c->backlog);
	} else {
		c->result = connect(c->fd, (struct sockaddr *)&c->address, c->address_size);
	}
}

/* Makes the call in a child with that very pid and our descriptor table. -1 with errno when there
 * can be no such child: EEXIST means that another process has the pid. */
static int stand_in(struct call *shared, const UnixSocket__Credentials *who)
{
	pid_t pid = who->pid;
	struct clone_args args = {
		.flags = CLONE_FILES,
		.set_tid = (uint64_t)(uintptr_t)&pid,
		.set_tid_size = 1,
	};
	pid_t child = sys_clone3(&args, sizeof(args));

	if (child < 0)
		return -1;
	if (child == 0) {
		shared->result = -1;
		stand_in_call(shared, who);
		shared->os_error = errno;
		_exit(0);
	}
	while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

/* ---- in a puppet ---- */

/* Gives descriptors to the puppet; their numbers there in ret. */
static int lend(struct restore_task *t, const int *fds, int count, int *ret, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct hand_over h;

	if (!count)
		return 0;
	batch_start(&b, &t->agent);
	if (puppet_send_fds(t, fds, count, &b, &h, err) || restore_run(t, &b, err))
		return -1;
	for (int i = 0; i < count; i++)
		ret[i] = puppet_received(&b, &h, i);
	return 0;
}

static int add_identity(const struct restore *r, struct batch *b,
			const UnixSocket__Credentials *who, struct error *err)
{
	_cleanup_free_ uint32_t *groups = NULL;

	if (!who)
		return 0;
	groups = groups_inside(r, who->groups, who->n_groups, err);
	if (!groups)
		return -1;
	batch_must(b, SYS_setgroups, who->n_groups,
		   batch_put(b, groups, who->n_groups * sizeof(*groups)));
	batch_must(b, SYS_setresgid, -1, group_inside(r, who->gid), -1);
	batch_must(b, SYS_setresuid, -1, user_inside(r, who->uid), -1);
	/* Files of names are reached as before. */
	batch_call(b, SYS_setfsgid, 0);
	batch_call(b, SYS_setfsuid, 0);
	return 0;
}

static void add_identity_end(struct batch *b, const UnixSocket__Credentials *who)
{
	if (!who)
		return;
	batch_must(b, SYS_setresuid, -1, 0, -1);
	batch_must(b, SYS_setresgid, -1, 0, -1);
}

static int add_call(struct batch *b, const struct call *c, const int *lent, uint64_t *ret_pair)
{
	struct sockaddr_un address = c->address;

	if (c->number == SYS_socketpair) {
		*ret_pair = batch_space(b, sizeof(c->pair));
		return batch_call(b, SYS_socketpair, AF_UNIX,
				  c->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, *ret_pair);
	}
	if (c->number == SYS_listen)
		return batch_call(b, SYS_listen, lent[0], c->backlog);
	if (c->file >= 0)
		snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", lent[1]);
	return batch_call(b, SYS_connect, lent[0], batch_put(b, &address, sizeof(address)),
			  c->address_size);
}

static int fetch_pair(struct restore_task *t, struct call *c, const int there[2],
		      struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	for (int i = 0; i < 2; i++) {
		c->pair[i] = puppet_fetch_fd(t, there[i], err);
		if (c->pair[i] < 0)
			return -1;
	}
	batch_start(&b, &t->agent);
	batch_call(&b, SYS_close, there[0]);
	batch_call(&b, SYS_close, there[1]);
	return restore_run(t, &b, err);
}

static int puppet_call(struct restore_task *t, struct call *c, const UnixSocket__Credentials *who,
		       struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const int fds[] = { c->fd, c->file };
	int count = c->number == SYS_socketpair		       ? 0
		    : c->number == SYS_connect && c->file >= 0 ? 2
							       : 1;
	int lent[2], record, there[2];
	uint64_t pair = 0;

	if (lend(t, fds, count, lent, err))
		return -1;
	batch_start(&b, &t->agent);
	if (add_identity(t->restore, &b, who, err))
		return -1;
	record = add_call(&b, c, lent, &pair);
	add_identity_end(&b, who);
	for (int i = 0; i < count; i++)
		batch_call(&b, SYS_close, lent[i]);
	if (restore_run(t, &b, err))
		return -1;
	c->result = batch_result(&b, record);
	if (c->result < 0) {
		c->os_error = -c->result;
	} else if (c->number == SYS_socketpair) {
		memcpy(there, batch_at(&b, pair), sizeof(there));
		return fetch_pair(t, c, there, err);
	}
	return 0;
}

/* ---- */

static int run(struct restore_files *r, struct call *c, const UnixSocket__Credentials *who,
	       struct restore_task *fallback, const char *what, struct error *err)
{
	struct restore_task *t = who ? puppet_of(r, who->pid) : NULL;

	if (who && !t && who->pid > 0 && !stand_in(c, who))
		return c->result < 0 ? error_set(err, ERROR_FAILED, c->os_error, "cannot %s", what)
				     : 0;
	if (who && !t)
		log_info("SO_PEERCRED of a socket names process %d, which cannot be stood in for: "
			 "%s",
			 who->pid, strerror(errno));
	if (puppet_call(t ? t : fallback, c, who, err))
		return error_wrap(err, "cannot %s", what);
	return c->result < 0 ? error_set(err, ERROR_FAILED, c->os_error, "cannot %s", what) : 0;
}

static struct call *call_new(struct error *err)
{
	struct call *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);

	if (c == MAP_FAILED) {
		error_set(err, ERROR_FAILED, errno, "memory for a call");
		return NULL;
	}
	c->file = -1;
	return c;
}

static void call_free(struct call **c)
{
	if (!*c)
		return;
	fd_close(&(*c)->file);
	munmap(*c, sizeof(**c));
}
#define _cleanup_call_ __attribute__((cleanup(call_free)))

int unix_call_socketpair(struct restore_files *r, const UnixSocket__Credentials *who,
			 struct restore_task *fallback, int type, int ret[2], struct error *err)
{
	_cleanup_call_ struct call *c = call_new(err);

	if (!c)
		return -1;
	c->number = SYS_socketpair;
	c->type = type;
	if (run(r, c, who, fallback, "make a pair of sockets", err))
		return -1;
	ret[0] = c->pair[0];
	ret[1] = c->pair[1];
	return 0;
}

int unix_call_listen(struct restore_files *r, const UnixSocket__Credentials *who,
		     struct restore_task *fallback, int fd, int backlog, struct error *err)
{
	_cleanup_call_ struct call *c = call_new(err);

	if (!c)
		return -1;
	c->number = SYS_listen;
	c->fd = fd;
	c->backlog = backlog;
	return run(r, c, who, fallback, "listen", err);
}

int unix_call_connect(struct restore_files *r, const UnixSocket__Credentials *who,
		      struct restore_task *fallback, int fd, int to, struct error *err)
{
	_cleanup_call_ struct call *c = call_new(err);

	if (!c || unix_reach(to, &c->address, &c->address_size, &c->file, err))
		return -1;
	c->number = SYS_connect;
	c->fd = fd;
	return run(r, c, who, fallback, "connect", err);
}

ssize_t unix_send_as(int fd, const UnixSocket__Credentials *who, struct msghdr *message)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_call_ struct call *c = NULL;
	ssize_t n = sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0 || errno != ESRCH || !who || who->pid <= 0)
		return n;
	c = call_new(&ignored);
	if (!c)
		return -1;
	c->number = SYS_sendmsg;
	c->fd = fd;
	c->message = message;
	if (stand_in(c, who))
		return -1;
	errno = c->os_error;
	return c->result;
}
