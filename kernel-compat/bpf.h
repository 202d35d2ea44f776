/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_COMPAT_BPF_H
#define CL_KERNEL_COMPAT_BPF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/io.h"

/*
 * Programs that are attached to a cgroup of version 2, bpf(2). All return -1 with errno; a kernel
 * without them has none.
 */

/* The ids of those of one type (enum bpf_attach_type) attached to this very cgroup, at most `room`;
 * *ret_flags are what they were attached with (BPF_F_ALLOW_…). Returns how many. */
int bpf_attached(int cgroup, uint32_t type, uint32_t *ids, size_t room, uint32_t *ret_flags);
/* The program with this id; a descriptor. */
int bpf_program_open(uint32_t id);
/* Its instructions as the kernel runs them; appended to *ret. */
int bpf_program_read(int program, struct buffer *ret);
/* Makes one that decides about devices (BPF_PROG_TYPE_CGROUP_DEVICE); a descriptor. */
int bpf_device_program(const void *instructions, size_t size);
int bpf_attach(int cgroup, int program, uint32_t type, uint32_t flags);

#endif
