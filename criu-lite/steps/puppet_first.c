/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that holds new namespaces. */
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/ns/namespaces.h"
#include "proc/stat.h"
#include "kinds/ns/user_namespace.h"
#include "steps/inside.h"
#include "steps/puppets.h"

enum { MESSAGE_MAX = 1024 };

/* What the bearer tells. */
struct told {
	pid_t pid;
	int os_error;
	enum error_kind kind;
	char message[MESSAGE_MAX];
};

__attribute__((noreturn)) static void wait_to_be_seized(int parent)
{
	struct pollfd gone = { .fd = parent, .events = POLLIN };

	/* The parent, which cannot be seen from a new pid namespace, may be gone already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || poll(&gone, 1, 0))
		_exit(1);
	for (;;)
		pause();
}

/* Its cgroups, and what its clocks show, it has from who bears it. */
static void bear(struct restore *r, int ourselves, struct told *told)
{
	pid_t wanted = r->tasks.items[0]->pid;
	struct clone_args args = {
		.flags = CLONE_PARENT | (r->container.namespaces & ~(uint64_t)CLONE_NEWTIME),
		.set_tid = (uint64_t)&wanted,
		.set_tid_size = 1,
	};
	struct error err = ERROR_INIT;
	pid_t pid = -1;

	if (!namespaces_join(r, &err) && !cgroups_enter(r, &err) && !clocks_begin(r, &err)) {
		pid = sys_clone3(&args, sizeof(args));
		if (pid == 0)
			wait_to_be_seized(ourselves);
		if (pid < 0)
			error_set(&err, ERROR_FAILED, errno,
				  "cannot make the tree's first process");
	}
	told->kind = err.kind;
	told->os_error = err.os_error;
	if (err.message)
		strlcpy(told->message, err.message, sizeof(told->message));
	told->pid = pid;
	_exit(0);
}

/* In the tree's time namespace it would look otherwise. */
static int read_start_time(struct container *c, struct error *err)
{
	_cleanup_fd_ int dir = proc_open(c->host_pid);
	struct proc_stat stat;

	if (dir < 0)
		return error_set(err, ERROR_FAILED, errno, "process %d", c->host_pid);
	if (proc_read_stat(dir, &stat, err))
		return -1;
	c->host_start_time = stat.start_time;
	return 0;
}

int puppet_make_first(struct restore *r, int *ret_pidfd, struct error *err)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	_cleanup_fd_ int ourselves = sys_pidfd_open(getpid(), 0);
	struct told *told = inside_memory(sizeof(*told));
	pid_t bearer;

	if (!told || ourselves < 0) {
		inside_memory_free(told, sizeof(*told));
		return error_set(err, ERROR_FAILED, errno, "cannot make the tree's first process");
	}
	bearer = sys_clone3(&args, sizeof(args));
	if (bearer == 0)
		bear(r, ourselves, told);
	while (bearer > 0 && waitpid(bearer, NULL, 0) < 0 && errno == EINTR)
		;
	if (told->pid > 0) {
		r->container.host_pid = told->pid;
		*ret_pidfd = sys_pidfd_open(told->pid, 0);
	} else {
		error_set(err, told->kind ? told->kind : ERROR_FAILED, 0, "%s",
			  told->message[0] ? told->message : "the tree's first process died");
		err->os_error = told->os_error;
	}
	inside_memory_free(told, sizeof(*told));
	if (!r->container.host_pid || *ret_pidfd < 0)
		return -1;
	if (read_start_time(&r->container, err))
		return -1;
	return user_namespace_set(r, r->container.host_pid, err);
}

void puppet_end_first(struct restore *r, int pidfd)
{
	if (!r->container.host_pid)
		return;
	sys_pidfd_send_signal(pidfd, SIGKILL);
	while (waitpid(r->container.host_pid, NULL, 0) < 0 && errno == EINTR)
		;
}
