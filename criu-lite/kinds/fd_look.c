/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/fd_scan.h"
#include "kinds/socket/socket.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* Gone while we looked, or an error that names the descriptor. */
static int look_failed(const struct fd_look *look, const char *what, struct error *err)
{
	if (errno == ENOENT || errno == ESRCH)
		return 0;
	return error_set(err, ERROR_TARGET, errno, "process %d: descriptor %d: %s", look->pid,
			 look->number, what);
}

int fd_look_read(struct fd_look *ret, const struct fd_look *holder, int number, struct error *err)
{
	struct fd_look look = *holder;
	_cleanup_error_ struct error info_error = ERROR_INIT;
	_cleanup_free_ char *link = NULL;
	char path[32];

	*ret = (struct fd_look){ 0 };
	look.number = number;
	snprintf(path, sizeof(path), "fd/%d", number);
	if (readlink_alloc(look.proc_fd, path, &link))
		return look_failed(&look, "readlink", err);
	if (fstatat(look.proc_fd, path, &look.st, 0))
		return look_failed(&look, "stat", err);
	if (proc_read_fdinfo(look.proc_fd, number, &look.info, &info_error)) {
		if (info_error.kind == ERROR_DIED || info_error.os_error == ENOENT)
			return 0;
		error_set(err, info_error.kind, info_error.os_error, "%s", info_error.message);
		return error_wrap(err, "process %d: descriptor %d", look.pid, number);
	}
	look.link = steal_ptr(link);
	*ret = look;
	return 1;
}

void fd_look_release(struct fd_look *look)
{
	free(look->link);
	proc_fdinfo_release(&look->info);
	*look = (struct fd_look){ 0 };
}

int fd_number(const char *name)
{
	struct scan s = { name, name + strlen(name) };
	int number;

	return scan_int(&s, &number) && scan_at_end(&s) ? number : -1;
}

int fd_look_pidfd(pid_t pid)
{
	int pidfd = sys_pidfd_open(pid, 0);

	/* A thread whose leader has exited can only be named as a thread, since Linux 6.9. */
	return pidfd < 0 ? sys_pidfd_open(pid, PIDFD_THREAD) : pidfd;
}

int fd_look_duplicate(const struct fd_look *look)
{
	if (look->pidfd < 0)
		return fcntl(look->number, F_DUPFD_CLOEXEC, 0);
	return sys_pidfd_getfd(look->pidfd, look->number);
}

/* What is known not to be saved, by the start of the link's text. */
static const struct unsupported {
	const char *link, *reason, *remedy;
} unsupported[] = {
	{ "anon_inode:[io_uring]", "io_uring instances cannot be saved",
	  "let the program use epoll instead (sysctl kernel.io_uring_disabled=2, or its own "
	  "option)" },
	{ "anon_inode:[fanotify]", "fanotify groups cannot be saved",
	  "save the program without its file system monitor" },
	{ "anon_inode:[userfaultfd]", "the program serves page faults by a userfaultfd of its own",
	  NULL },
	{ "anon_inode:bpf-", "bpf programs, maps and links cannot be saved",
	  "load them from outside of the tree" },
	{ "anon_inode:[perf_event]", "performance counters cannot be saved", "stop the profiler" },
	{ "anon_inode:kvm-", "virtual machines cannot be saved",
	  "save the guest by its own means" },
	{ "anon_inode:[landlock-ruleset]", "landlock rules cannot be saved", NULL },
	{ "anon_inode:seccomp notify", "seccomp listeners cannot be saved",
	  "supervise the program from outside of the tree" },
	{ "anon_inode:mount", "detached mounts cannot be saved", "attach or close the mount" },
	{ "anon_inode:[fscontext]", "file system contexts cannot be saved", NULL },
	{ "anon_inode:[secretmem]", "secret memory cannot be read, and so not saved", NULL },
	{ "/secretmem", "secret memory cannot be read, and so not saved", NULL },
	{ "/dev/net/tun", "tun and tap interfaces cannot be saved",
	  "open the interface from outside of the tree" },
	{ "/dev/fuse", "a file system server cannot be saved", "run it outside of the tree" },
	{ "/dev/dri/", "state of a graphics device cannot be saved", NULL },
	{ "/dev/nvidia", "state of a graphics device cannot be saved", NULL },
	{ "/dev/kfd", "state of a graphics device cannot be saved", NULL },
	{ "/dev/kvm", "virtual machines cannot be saved", "save the guest by its own means" },
	{ "/dev/snd/", "state of a sound device cannot be saved", "let the program close it" },
	{ "/dev/vfio/", "state of a device cannot be saved", NULL },
	{ "mqueue:", "this message queue cannot be saved", NULL },
	{ "socket:", "sockets of this family cannot be saved", "let the program close it" },
	{ "pidfd:", "this process descriptor cannot be saved", NULL },
	{ "anon_inode:[pidfd]", "this process descriptor cannot be saved", NULL },
};

void fd_unsupported(const struct fd_look *look, const char **reason, const char **remedy)
{
	if (S_ISSOCK(look->st.st_mode))
		return socket_unsupported(look, reason, remedy);
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
		const struct unsupported *u = &unsupported[i];

		if (!strncmp(look->link, u->link, strlen(u->link))) {
			*reason = u->reason;
			*remedy = u->remedy;
			return;
		}
	}
	*remedy = "let the program close it";
	if (S_ISCHR(look->st.st_mode) || S_ISBLK(look->st.st_mode))
		*reason = "the state of this device cannot be saved";
	else
		*reason = "this kind of descriptor cannot be saved";
}
