/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/probes.h"
#include "kernel-compat/restart_block.h"
#include "kernel-compat/uapi.h"

static int capability(unsigned which)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return errno;
	return data[CAP_TO_INDEX(which)].effective & CAP_TO_MASK(which) ? 0 : EPERM;
}

int probe_cap_sys_admin(void)
{
	return capability(CAP_SYS_ADMIN);
}

int probe_cap_sys_ptrace(void)
{
	return capability(CAP_SYS_PTRACE);
}

int probe_cap_sys_resource(void)
{
	return capability(CAP_SYS_RESOURCE);
}

int probe_cap_net_admin(void)
{
	return capability(CAP_NET_ADMIN);
}

int probe_process_vm(void)
{
	int there = 42, here = 0;
	struct iovec local = { &here, sizeof(here) }, remote = { &there, sizeof(there) };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != sizeof(here))
		return errno;
	return here == there ? 0 : EIO;
}

int probe_kcmp(void)
{
	long r = syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0);

	return r < 0 ? errno : r ? EIO : 0;
}

int probe_kcmp_epoll(void)
{
	_cleanup_fd_ int epoll = epoll_create1(EPOLL_CLOEXEC);
	_cleanup_fd_ int inner = epoll_create1(EPOLL_CLOEXEC);
	struct kcmp_epoll_slot slot = { .efd = epoll, .tfd = inner };
	struct epoll_event event = { .events = EPOLLIN };
	long r;

	if (epoll < 0 || inner < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, inner, &event))
		return errno;
	r = syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, inner, &slot);
	return r < 0 ? errno : r ? EIO : 0;
}

int probe_pidfd_getfd(void)
{
	_cleanup_fd_ int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_fd_ int copy = -1;

	if (pidfd < 0)
		return errno;
	copy = syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);
	return copy < 0 ? errno : 0;
}

int probe_clone3_set_tid(void)
{
	/* Our own pid is taken: with the right to choose one the answer is EEXIST. */
	pid_t pid = getpid();
	struct clone_args args = { .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	long r = syscall(SYS_clone3, &args, sizeof(args));

	if (r == 0)
		_exit(0);
	return r < 0 && errno == EEXIST ? 0 : r < 0 ? errno : EIO;
}

int probe_close_range(void)
{
	return syscall(SYS_close_range, ~0u, ~0u, 0) ? errno : 0;
}

int probe_prctl_mm_map(void)
{
	unsigned size = 0;

	if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0))
		return errno;
	return size == sizeof(struct prctl_mm_map) ? 0 : EINVAL;
}

int probe_restart_block(void)
{
	struct restart_reader reader = { 0 };
	struct restart_block block;
	int error = restart_reader_read(&reader, gettid(), &block);

	restart_reader_close(&reader);
	return error;
}

int probe_timer_restore_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) < 0 ?
		       errno : 0;
}
