/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/calls.h"

#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t sys_clone3(struct clone_args *args, size_t size)
{
	return syscall(SYS_clone3, args, size);
}

int sys_pidfd_open(pid_t pid, unsigned int flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

int sys_pidfd_getfd(int pidfd, int number)
{
	return syscall(SYS_pidfd_getfd, pidfd, number, 0);
}

int sys_pidfd_send_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int sys_kcmp(pid_t a, pid_t b, int type, unsigned long index_a, unsigned long index_b)
{
	return syscall(SYS_kcmp, a, b, type, index_a, index_b);
}

int sys_openat2(int dir_fd, const char *path, const struct open_how *how)
{
	return syscall(SYS_openat2, dir_fd, path, how, sizeof(*how));
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
	return syscall(SYS_pivot_root, new_root, put_old);
}

int sys_tgkill(pid_t tgid, pid_t tid, int signal)
{
	return syscall(SYS_tgkill, tgid, tid, signal);
}

int sys_set_effective_ids(size_t group_count, const uint32_t *groups, uint32_t gid, uint32_t uid)
{
	if (syscall(SYS_setgroups, group_count, groups) || syscall(SYS_setresgid, -1, gid, -1))
		return -1;
	return syscall(SYS_setresuid, -1, uid, -1);
}

void sys_set_file_ids(uint32_t gid, uint32_t uid)
{
	syscall(SYS_setfsgid, gid);
	syscall(SYS_setfsuid, uid);
}
