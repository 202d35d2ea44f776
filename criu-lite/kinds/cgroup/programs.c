/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/cgroup/programs.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/bpf.h"

enum { PROGRAMS_MAX = 64, INSTRUCTIONS_MAX = 4096 };

/* What else can be attached, for messages. */
static const struct {
	uint32_t type;
	const char *what;
} others[] = {
	{ BPF_CGROUP_INET_INGRESS, "packets that come" },
	{ BPF_CGROUP_INET_EGRESS, "packets that go" },
	{ BPF_CGROUP_INET_SOCK_CREATE, "sockets" },
	{ BPF_CGROUP_SOCK_OPS, "sockets" },
	{ BPF_CGROUP_INET4_BIND, "bind(2)" },
	{ BPF_CGROUP_INET6_BIND, "bind(2)" },
	{ BPF_CGROUP_INET4_CONNECT, "connect(2)" },
	{ BPF_CGROUP_INET6_CONNECT, "connect(2)" },
	{ BPF_CGROUP_INET4_POST_BIND, "bind(2)" },
	{ BPF_CGROUP_INET6_POST_BIND, "bind(2)" },
	{ BPF_CGROUP_UDP4_SENDMSG, "sendmsg(2)" },
	{ BPF_CGROUP_UDP6_SENDMSG, "sendmsg(2)" },
	{ BPF_CGROUP_UDP4_RECVMSG, "recvmsg(2)" },
	{ BPF_CGROUP_UDP6_RECVMSG, "recvmsg(2)" },
	{ BPF_CGROUP_SYSCTL, "sysctls" },
	{ BPF_CGROUP_GETSOCKOPT, "getsockopt(2)" },
	{ BPF_CGROUP_SETSOCKOPT, "setsockopt(2)" },
};

static int refuse(const char *path, const char *what, struct error *err)
{
	error_set(err, ERROR_BLOCKED, 0, "cgroup %s: a BPF program for %s is attached to it", path,
		  what);
	return error_hint(err, "detach it; whoever has attached it can do so again");
}

static int look_for_others(int dir, const char *path, struct error *err)
{
	uint32_t ids[PROGRAMS_MAX], flags;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		int count = bpf_attached(dir, others[i].type, ids, PROGRAMS_MAX, &flags);

		if (count < 0)
			return error_set(err, ERROR_TARGET, errno, "cgroup %s: its BPF programs",
					 path);
		if (count)
			return refuse(path, others[i].what, err);
	}
	return 0;
}

/* A call of a helper, or a load of what only this kernel knows. */
static bool leads_outside(const struct bpf_insn *at, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if ((BPF_CLASS(at[i].code) == BPF_JMP && BPF_OP(at[i].code) == BPF_CALL) ||
		    at[i].code == (BPF_LD | BPF_DW | BPF_IMM))
			return true;
	return false;
}

static int add(CgroupDirectory *m, struct buffer *text, uint32_t flags, struct error *err)
{
	CgroupProgram **longer = realloc(m->programs, (m->n_programs + 1) * sizeof(*longer));
	CgroupProgram *program = malloc(sizeof(*program));

	if (longer)
		m->programs = longer;
	if (!longer || !program) {
		free(program);
		return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
	}
	cgroup_program__init(program);
	m->programs[m->n_programs++] = program;
	program->flags = flags;
	program->instructions.len = text->size;
	program->instructions.data = (uint8_t *)steal_ptr(text->data);
	*text = (struct buffer){ 0 };
	return 0;
}

static int read_one(uint32_t id, uint32_t flags, const char *path, CgroupDirectory *ret,
		    struct error *err)
{
	_cleanup_fd_ int program = bpf_program_open(id);
	_cleanup_buffer_ struct buffer text = { 0 };
	size_t count;

	if (program < 0 || bpf_program_read(program, &text))
		return error_set(err, ERROR_TARGET, errno, "cgroup %s: BPF program %u", path, id);
	count = text.size / sizeof(struct bpf_insn);
	if (!count || count > INSTRUCTIONS_MAX ||
	    leads_outside((const struct bpf_insn *)text.data, count))
		return refuse(path, "devices, with maps or calls,", err);
	return ret ? add(ret, &text, flags, err) : 0;
}

int programs_read(int dir, const char *path, CgroupDirectory *ret, struct error *err)
{
	uint32_t ids[PROGRAMS_MAX], flags = 0;
	int count = bpf_attached(dir, BPF_CGROUP_DEVICE, ids, PROGRAMS_MAX, &flags), i;

	if (count < 0)
		return error_set(err, ERROR_TARGET, errno, "cgroup %s: its BPF programs", path);
	for (i = 0; i < count; i++)
		if (read_one(ids[i], flags, path, ret, err))
			return -1;
	return look_for_others(dir, path, err);
}

int programs_verify(const char *controllers, const CgroupDirectory *m, struct error *err)
{
	size_t i;

	if (m->n_programs > PROGRAMS_MAX || (m->n_programs && *controllers))
		return error_set(err, ERROR_IMAGE, 0, "a cgroup cannot have these BPF programs");
	for (i = 0; i < m->n_programs; i++) {
		const CgroupProgram *p = m->programs[i];
		size_t count = p->instructions.len / sizeof(struct bpf_insn);

		if (!count || count > INSTRUCTIONS_MAX ||
		    p->instructions.len % sizeof(struct bpf_insn) ||
		    p->flags & ~(uint32_t)(BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI))
			return error_set(err, ERROR_IMAGE, 0, "a BPF program of a cgroup is none");
	}
	return 0;
}

int programs_write(int dir, const char *path, const CgroupDirectory *m, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_programs; i++) {
		const CgroupProgram *p = m->programs[i];
		_cleanup_fd_ int fd =
			bpf_device_program(p->instructions.data, p->instructions.len);

		if (fd < 0 || bpf_attach(dir, fd, BPF_CGROUP_DEVICE, p->flags))
			return error_set(err, ERROR_FAILED, errno,
					 "cgroup %s: its BPF program for devices", path);
	}
	return 0;
}
