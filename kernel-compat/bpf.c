/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long call(enum bpf_cmd command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int bpf_attached(int cgroup, uint32_t type, uint32_t *ids, size_t room, uint32_t *ret_flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = cgroup;
	attr.query.attach_type = type;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = room;
	if (call(BPF_PROG_QUERY, &attr))
		return errno == EINVAL || errno == ENOSYS ? 0 : -1;
	*ret_flags = attr.query.attach_flags;
	return attr.query.prog_cnt;
}

int bpf_program_open(uint32_t id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	return call(BPF_PROG_GET_FD_BY_ID, &attr);
}

static int ask(int program, struct bpf_prog_info *info)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = program;
	attr.info.info_len = sizeof(*info);
	attr.info.info = (uintptr_t)info;
	return call(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

int bpf_program_read(int program, struct buffer *ret)
{
	struct bpf_prog_info info, again;

	memset(&info, 0, sizeof(info));
	memset(&again, 0, sizeof(again));
	if (ask(program, &info) || buffer_reserve(ret, info.xlated_prog_len))
		return -1;
	again.xlated_prog_len = info.xlated_prog_len;
	again.xlated_prog_insns = (uintptr_t)(ret->data + ret->size);
	if (ask(program, &again))
		return -1;
	/* Without the right to see them there are none. */
	if (!again.xlated_prog_insns || again.xlated_prog_len != info.xlated_prog_len) {
		errno = EPERM;
		return -1;
	}
	ret->size += again.xlated_prog_len;
	return 0;
}

int bpf_device_program(const void *instructions, size_t size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)instructions;
	attr.insn_cnt = size / sizeof(struct bpf_insn);
	attr.license = (uintptr_t)"GPL";
	return call(BPF_PROG_LOAD, &attr);
}

int bpf_attach(int cgroup, int program, uint32_t type, uint32_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = cgroup;
	attr.attach_bpf_fd = program;
	attr.attach_type = type;
	attr.attach_flags = flags;
	return call(BPF_PROG_ATTACH, &attr);
}
