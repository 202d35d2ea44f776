/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clocks that count from a machine's start, time_namespaces(7). A container that comes back on
 * another machine, or after that was started anew, must not see them jump: it gets a time namespace
 * in which they go on from where they were, whether it had one or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "images/clocks.pb-c.h"
#include "kinds/dump.h"
#include "kinds/ns/namespaces.h"
#include "kinds/restore.h"
#include "tracee/batch.h"

extern const struct kind clocks_kind;

enum { NS = 1000000000 };

struct offsets {
	int64_t monotonic, boottime;	/* in nanoseconds */
};

/* The lines are "monotonic SECONDS NANOSECONDS" and the same for boottime. */
static int read_offsets(int dir_fd, const char *path, struct offsets *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	int64_t a, b, c, d;

	*ret = (struct offsets){ 0 };
	if (read_file_at(dir_fd, path, &text))
		return errno == ENOENT ? 0 : error_set(err, ERROR_FAILED, errno, "%s", path);
	if (buffer_append(&text, "", 1) ||
	    sscanf(text.data,
		   "monotonic %" SCNd64 " %" SCNd64 " boottime %" SCNd64 " %" SCNd64, &a, &b, &c,
		   &d) != 4)
		return error_set(err, ERROR_FAILED, 0, "%s cannot be read", path);
	*ret = (struct offsets){ a * NS + b, c * NS + d };
	return 0;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * (int64_t)NS + now.tv_nsec;
}

static int clocks_dump(struct dump *d, struct error *err)
{
	Clocks m = CLOCKS__INIT;
	struct offsets ours, its;

	if (!(d->container.namespaces & (CLONE_NEWPID | CLONE_NEWTIME)))
		return 0;
	if (read_offsets(-1, "/proc/self/timens_offsets", &ours, err) ||
	    read_offsets(d->tasks.items[0]->proc_fd, "timens_offsets", &its, err))
		return -1;
	m.monotonic_ns = clock_ns(CLOCK_MONOTONIC) - ours.monotonic + its.monotonic;
	m.boottime_ns = clock_ns(CLOCK_BOOTTIME) - ours.boottime + its.boottime;
	return dump_container(d, &clocks_kind, &m.base, err);
}

/* A line of timens_offsets: whole seconds round down. */
static int print_offset(char *line, size_t size, const char *clock, int64_t offset)
{
	int64_t seconds = offset / NS, rest = offset % NS;

	if (rest < 0) {
		rest += NS;
		seconds--;
	}
	return snprintf(line, size, "%s %" PRId64 " %" PRId64 "\n", clock, seconds, rest);
}

int clocks_begin(const struct restore *r, struct error *err)
{
	const Clocks *m = (const Clocks *)restore_container_state(r, &clocks_kind);
	struct offsets ours;
	_cleanup_fd_ int fd = -1;
	char text[128];
	int length;

	if (!m)
		return 0;
	if (m->monotonic_ns < 0 || m->boottime_ns < 0)
		return error_set(err, ERROR_IMAGE, 0, "clocks before their start");
	if (m->monotonic_ns > INT64_MAX / 2 || m->boottime_ns > INT64_MAX / 2)
		return error_set(err, ERROR_IMAGE, 0, "clocks of centuries");
	if (read_offsets(-1, "/proc/self/timens_offsets", &ours, err))
		return -1;
	if (unshare(CLONE_NEWTIME))
		return error_set(err, ERROR_FAILED, errno, "cannot make a time namespace");
	length = print_offset(text, sizeof(text), "monotonic",
			      m->monotonic_ns - clock_ns(CLOCK_MONOTONIC) + ours.monotonic);
	length += print_offset(text + length, sizeof(text) - length, "boottime",
			       m->boottime_ns - clock_ns(CLOCK_BOOTTIME) + ours.boottime);
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, length) != length)
		return error_set(err, ERROR_FAILED, errno, "cannot set the clocks");
	return 0;
}

static int move_puppet(struct restore_task *t, int ns, bool *ret_moved, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct hand_over hand;
	int number;

	batch_start(&b, &t->agent);
	if (puppet_send_fds(t, &ns, 1, &b, &hand, err) || restore_run(t, &b, err))
		return -1;
	number = puppet_received(&b, &hand, 0);
	batch_start(&b, &t->agent);
	batch_call(&b, SYS_setns, number, CLONE_NEWTIME);
	batch_must(&b, SYS_close, number);
	if (restore_run(t, &b, err))
		return -1;
	*ret_moved = batch_result(&b, 0) == 0;
	return 0;
}

/* Only children of ours are in it by themselves; there are none any more. */
static int make_time_namespace(const struct restore *r, struct error *err)
{
	int ns;

	if (clocks_begin(r, err))
		return -1;
	ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	return ns < 0 ? error_set(err, ERROR_FAILED, errno, "time namespace") : ns;
}

/* Tells errno, and stays until nobody is at the other end. */
__attribute__((noreturn)) static void make_as_its_user(const struct restore *r, int user, int other)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int failed = setns(user, CLONE_NEWUSER) ? errno : 0;
	char nothing;

	if (!failed && clocks_begin(r, &err))
		failed = err.os_error ?: EINVAL;
	if (write_full(other, &failed, sizeof(failed)) == 0 && read(other, &nothing, 1) == 0)
		_exit(0);
	_exit(1);
}

/* Who moves into one needs privilege over it, so that of a tree with a user namespace is made by a
 * process that is in that. */
static int make_in_user_namespace(const struct restore *r, struct error *err)
{
	_cleanup_fd_ int user = -1, ours = -1, its = -1;
	int ends[2], failed = EPIPE, ns = -1;
	char path[48];
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", r->tasks.items[0]->pid);
	user = open(path, O_RDONLY | O_CLOEXEC);
	if (user < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_set(err, ERROR_FAILED, errno, "user namespace");
	ours = ends[0];
	its = ends[1];
	pid = fork();
	if (pid == 0) {
		fd_close(&ours);
		make_as_its_user(r, user, its);
	}
	fd_close(&its);
	if (pid < 0)
		return error_set(err, ERROR_FAILED, errno, "time namespace");
	if (read_full(ours, &failed, sizeof(failed)) == sizeof(failed) && !failed) {
		snprintf(path, sizeof(path), "/proc/%d/ns/time_for_children", pid);
		ns = open(path, O_RDONLY | O_CLOEXEC);
		failed = errno;
	}
	fd_close(&ours);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return ns < 0 ? error_set(err, ERROR_FAILED, failed, "time namespace") : ns;
}

int clocks_again(struct restore *r, struct error *err)
{
	_cleanup_fd_ int ns = -1;
	struct restore_task **t;
	bool moved;

	if (!restore_container_state(r, &clocks_kind) ||
	    !(r->container.namespaces & CLONE_NEWTIME))
		return 0;
	ns = r->container.namespaces & CLONE_NEWUSER ? make_in_user_namespace(r, err) :
						       make_time_namespace(r, err);
	if (ns < 0)
		return -1;
	array_for(t, &r->tasks) {
		if ((*t)->zombie)
			continue;
		if (move_puppet(*t, ns, &moved, err))
			return error_wrap(err, "process %d", (*t)->pid);
		/* Without privilege over it. */
		if (!moved && t == r->tasks.items) {
			log_notice("clocks lag behind by the time that memory was copied");
			return 0;
		}
	}
	return 0;
}

static const struct container_ops clocks_container = {
	.dump_timed = clocks_dump,
};

const struct kind clocks_kind = {
	.name = "clocks",
	.record = 0x202,
	.scope = KIND_CONTAINER,
	.message = &clocks__descriptor,
	.help = "monotonic and boot time go on without a jump",
	.container = &clocks_container,
};
