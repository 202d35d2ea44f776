/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/calls.h"
#include "proc/status.h"

static const struct {
	const char *file;
	uint64_t flag;
} namespaces[] = {
	{ "mnt", CLONE_NEWNS },	  { "net", CLONE_NEWNET },   { "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },  { "pid", CLONE_NEWPID },   { "user", CLONE_NEWUSER },
	{ "time", CLONE_NEWTIME }, { "cgroup", CLONE_NEWCGROUP },
};

enum { HOST_FD = 16 };

static ino_t namespace_of(const char *who, const char *file)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", who, file);
	return stat(path, &st) ? 0 : st.st_ino;
}

int inside_open_host(struct container *c, struct error *err)
{
	_cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* The guard's own descriptors have low numbers. */
	c->host_root = fcntl(root, F_DUPFD_CLOEXEC, HOST_FD);
	c->host_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	c->host_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	c->signaller = eventfd(0, EFD_CLOEXEC);
	if (c->host_root < 0 || c->host_net < 0 || c->host_self < 0 || c->signaller < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open our own namespaces");
	return 0;
}

int inside_look(struct container *ret, pid_t pid, struct error *err)
{
	char who[16];
	size_t i;

	*ret = CONTAINER_NONE;
	ret->host_pid = pid;
	snprintf(who, sizeof(who), "%d", pid);
	for (i = 0; i < ARRAY_SIZE(namespaces); i++) {
		ino_t ours = namespace_of("self", namespaces[i].file);
		ino_t its = namespace_of(who, namespaces[i].file);

		if (ours && its && ours != its)
			ret->namespaces |= namespaces[i].flag;
	}
	return ret->namespaces ? inside_open_host(ret, err) : 0;
}

void container_release(struct container *c)
{
	fd_close(&c->host_root);
	fd_close(&c->host_net);
	fd_close(&c->host_self);
	fd_close(&c->signaller);
}

/* The number that it has in its own pid namespace; -1 on error. */
static pid_t inside_pid(pid_t pid, struct error *err)
{
	_cleanup_proc_status_ struct proc_status status = { 0 };
	_cleanup_fd_ int dir = proc_open(pid);

	if (dir < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d", pid);
	if (proc_read_status(dir, &status, err))
		return -1;
	return status.ns_pid.count ? status.ns_pid.id[status.ns_pid.count - 1] : pid;
}

void *inside_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void inside_memory_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

enum { MESSAGE_MAX = 8192, HINT_MAX = 2048, FIRST_ID = 300, ID_TRIES = 4096 };

/* What the two that go tell us. */
struct told {
	pid_t child;
	int entered;	/* 0, or errno of what did not work */
	bool finished;
	int result;
	enum error_kind kind;
	int os_error;
	char message[MESSAGE_MAX], hint[HINT_MAX];
};

static void tell(struct told *told, int result, struct error *err)
{
	told->result = result;
	told->kind = err->kind;
	told->os_error = err->os_error;
	if (err->message)
		strlcpy(told->message, err->message, sizeof(told->message));
	if (err->hint)
		strlcpy(told->hint, err->hint, sizeof(told->hint));
	told->finished = true;
}

/* The message has the text of os_error already. */
static int retell(const struct told *told, struct error *err)
{
	if (!told->result)
		return 0;
	error_set(err, told->kind, 0, "%s", told->message);
	err->os_error = told->os_error;
	if (told->hint[0])
		error_hint(err, "%s", told->hint);
	return told->result;
}

/* Ends with its parent, which may be gone already, and which it cannot see. */
static void end_with(int parent)
{
	struct pollfd gone = { .fd = parent, .events = POLLIN };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&gone, 1, 0) > 0)
		_exit(1);
}

/* The child comes under an id that the tree does not need. */
static pid_t come_in(const struct inside *where)
{
	pid_t wanted = 0, pid;
	struct clone_args args = { .flags = CLONE_PARENT };
	int tries;

	if (!where->taken || !(where->namespaces & CLONE_NEWPID))
		return sys_clone3(&args, sizeof(args));
	args.set_tid = (uint64_t)&wanted;
	args.set_tid_size = 1;
	for (tries = 0; tries < ID_TRIES; tries++) {
		wanted = FIRST_ID + tries;
		if (where->taken(where->context, wanted))
			continue;
		pid = sys_clone3(&args, sizeof(args));
		if (pid >= 0 || errno != EEXIST)
			return pid;
	}
	return -1;
}

/* The first only opens the door: a process stays in its pid namespace, its children do not. */
static pid_t enter(const struct inside *where, struct told *told)
{
	struct clone_args args = { 0 };
	pid_t first = sys_clone3(&args, sizeof(args)), pid;

	if (first)
		return first;
	if (setns(where->pidfd, where->namespaces & ~(uint64_t)CLONE_NEWUSER)) {
		told->entered = errno;
		_exit(1);
	}
	pid = come_in(where);
	if (pid < 0)
		told->entered = errno;
	if (pid) {
		told->child = pid;
		_exit(pid < 0);
	}
	return 0;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return status;
}

/* Serves the child until it has ended. */
static void attend(const struct inside *where, pid_t child)
{
	_cleanup_fd_ int pidfd = sys_pidfd_open(child, 0);
	struct pollfd events[] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = where->signaller, .events = POLLIN },
	};

	while (pidfd >= 0 && !events[0].revents) {
		eventfd_t signal;

		if (poll(events, ARRAY_SIZE(events), -1) >= 0 && events[1].revents &&
		    !eventfd_read(where->signaller, &signal))
			sys_pidfd_send_signal(where->pidfd, signal);
	}
	wait_for(child);
}

/* Guards are our children, too, and go when they see the end of whom they guard. */
static void wait_for_guards(void)
{
	for (;;)
		if (waitpid(-1, NULL, __WCLONE) < 0 && errno != EINTR)
			return;
}

int inside_run(const struct inside *where, int (*run)(void *context, struct error *err),
	       void *context, const bool *done, struct error *err)
{
	_cleanup_fd_ int ourselves = sys_pidfd_open(getpid(), 0);
	struct told *told = inside_memory(sizeof(*told));
	pid_t first;
	int r;

	if (!told || ourselves < 0) {
		inside_memory_free(told, sizeof(*told));
		return error_set(err, ERROR_FAILED, errno, "cannot enter the tree's namespaces");
	}
	fflush(NULL);
	first = enter(where, told);
	if (first == 0) {
		struct error trouble = ERROR_INIT;

		end_with(ourselves);
		r = run(context, &trouble);
		tell(told, r, &trouble);
		fflush(NULL);
		_exit(0);
	}
	if (first > 0)
		wait_for(first);
	if (first < 0 || told->entered || !told->child) {
		r = error_set(err, ERROR_FAILED, first < 0 ? errno : told->entered,
			      "cannot enter the tree's namespaces");
	} else {
		attend(where, told->child);
		wait_for_guards();
		if (told->finished || (done && *done))
			r = retell(told, err);
		else
			r = error_set(err, ERROR_DIED, 0,
				      "the work inside of the tree's namespaces was killed");
	}
	inside_memory_free(told, sizeof(*told));
	return r;
}

int inside_see(struct error *err)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return error_set(err, ERROR_FAILED, errno, "cannot copy the tree's mounts");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) {
		error_set(err, ERROR_BLOCKED, errno, "cannot mount /proc for ourselves");
		return error_hint(err, "the tree's root file system needs a directory /proc");
	}
	return 0;
}

struct work {
	const struct container *container;
	pid_t pid;
	inside_work run;
	void *context;
};

static int run_in_sight(void *context, struct error *err)
{
	struct work *w = context;

	if (w->container->namespaces & (CLONE_NEWPID | CLONE_NEWNS) && inside_see(err))
		return -1;
	return w->run(w->context, w->pid, err);
}

int inside_tree(const struct container *c, inside_work run, void *context, const bool *done,
		struct error *err)
{
	_cleanup_fd_ int root = sys_pidfd_open(c->host_pid, 0);
	/* Whose cgroups they are is asked from where their paths are whole. */
	const struct inside where = {
		.namespaces = container_foreign(c) & ~(uint64_t)CLONE_NEWCGROUP,
		.pidfd = root,
		.signaller = c->signaller,
	};
	struct work work = { c, inside_pid(c->host_pid, err), run, context };

	if (work.pid < 0)
		return -1;
	if (root < 0)
		return error_set(err, ERROR_TARGET, errno, "process %d", c->host_pid);
	if (c->namespaces & CLONE_NEWPID && work.pid != 1) {
		error_set(err, ERROR_BLOCKED, 0,
			  "process %d is in a pid namespace, but not its first process",
			  c->host_pid);
		return error_hint(err, "save the first process of that namespace");
	}
	return inside_run(&where, run_in_sight, &work, done, err);
}
