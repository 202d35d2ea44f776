/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of a held process: process_vm_readv(2) and /proc/pid/mem. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "tracee/internal.h"

int tracee_peek(const struct tracee *t, uint64_t address, void *data, size_t size)
{
	struct iovec local = { data, size }, remote = { (void *)address, size };

	return process_vm_readv(t->tid, &local, 1, &remote, 1, 0) == (ssize_t)size ? 0 : -1;
}

int tracee_read(const struct tracee *t, uint64_t address, void *data, size_t size,
		struct error *err)
{
	if (tracee_peek(t, address, data, size))
		return error_set(err, ERROR_TARGET, errno, "task %d: cannot read memory at %#lx",
				 t->tid, (unsigned long)address);
	return 0;
}

int tracee_write(const struct tracee *t, uint64_t address, const void *data, size_t size,
		 struct error *err)
{
	struct iovec local = { (void *)data, size }, remote = { (void *)address, size };

	if (process_vm_writev(t->tid, &local, 1, &remote, 1, 0) != (ssize_t)size)
		return error_set(err, ERROR_TARGET, errno, "task %d: cannot write memory at %#lx",
				 t->tid, (unsigned long)address);
	return 0;
}

int tracee_poke(const struct tracee *t, uint64_t address, const void *data, size_t size,
		struct error *err)
{
	char path[64];
	_cleanup_fd_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/mem", t->tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite_full(fd, data, size, address))
		return error_set(err, ERROR_TARGET, errno, "task %d: cannot write memory at %#lx",
				 t->tid, (unsigned long)address);
	return 0;
}
