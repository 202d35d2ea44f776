/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_CALLS_H
#define CL_KERNEL_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* System calls that the C library of Debian 12 has no function for. All return -1 with errno set
 * as their man pages say. */

struct clone_args;
struct open_how;

/* clone3(2). The child shares nothing with us that the flags do not say and must not return from
 * the caller's function. */
pid_t sys_clone3(struct clone_args *args, size_t size);
/* pidfd_open(2); flags may be PIDFD_NONBLOCK or PIDFD_THREAD (Linux 6.9). */
int sys_pidfd_open(pid_t pid, unsigned int flags);
/* pidfd_getfd(2): our duplicate of descriptor `number` of that process. */
int sys_pidfd_getfd(int pidfd, int number);
/* kcmp(2): 0 the same, 1 and 2 an order of the two, 3 different without an order. */
int sys_kcmp(pid_t a, pid_t b, int type, unsigned long index_a, unsigned long index_b);
/* openat2(2) */
int sys_openat2(int dir_fd, const char *path, const struct open_how *how);
/* pidfd_send_signal(2) */
int sys_pidfd_send_signal(int pidfd, int signal);
/* pivot_root(2) */
int sys_pivot_root(const char *new_root, const char *put_old);
/* tgkill(2) */
int sys_tgkill(pid_t tgid, pid_t tid, int signal);

/* setgroups(2), setresgid(2), setresuid(2) of effective ids, and setfsgid(2), setfsuid(2), of the
 * calling task alone, where those of the C library would tell threads that a bare child has not. */
int sys_set_effective_ids(size_t group_count, const uint32_t *groups, uint32_t gid, uint32_t uid);
void sys_set_file_ids(uint32_t gid, uint32_t uid);

#endif
