/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/restart_block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/features.h"

enum {
	NS_PER_S = 1000000000,
	KERNEL_ENUM64 = 19,	/* BTF_KIND_ENUM64, Linux 6.0 */
	REPORT_MAX = 512,
};

/* What the program writes for its task, followed by the name of the function. */
struct report {
	/* struct restart_block of the kernel from .fn on */
	uint64_t function;
	union {
		struct {
			uint64_t address;
			uint32_t value, flags, bitset;
			uint64_t end;
		} futex;
		struct {
			int32_t clock;
			uint32_t has_rest;
			uint64_t rest, end;
		} sleep;
		struct {
			uint64_t address;
			uint32_t count, timed;
			uint64_t end_s, end_ns;
		} poll;
	};
	uint64_t monotonic, boottime;	/* now, without offsets of time namespaces */
};

/* Where things are in this kernel. */
struct layout {
	uint32_t iterator;	/* BTF id of the function that the program attaches to */
	uint32_t block, function;	/* offset in task_struct, in restart_block; bytes */
};

/* ---- the kernel's BTF ---- */

struct types {
	const char *types, *strings;
	size_t types_size, strings_size;
};

static const char *name_of(const struct types *b, uint32_t offset)
{
	return offset < b->strings_size ? b->strings + offset : "";
}

/* Bytes that follow the common part of a type's description. */
static size_t tail_size(const struct btf_type *t)
{
	size_t count = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return count * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return count * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return count * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return count * sizeof(struct btf_var_secinfo);
	case KERNEL_ENUM64:
		return count * 3 * sizeof(uint32_t);
	}
	return 0;
}

static bool member_offset(const struct types *b, const struct btf_type *t, const char *name,
			  uint32_t *ret)
{
	const struct btf_member *m = (const struct btf_member *)(t + 1);
	uint32_t i;

	for (i = 0; i < BTF_INFO_VLEN(t->info); i++) {
		if (strcmp(name_of(b, m[i].name_off), name))
			continue;
		*ret = (BTF_INFO_KFLAG(t->info) ? BTF_MEMBER_BIT_OFFSET(m[i].offset)
						: m[i].offset) /
		       8;
		return true;
	}
	return false;
}

static int find_layout(const struct types *b, struct layout *ret)
{
	const char *at = b->types, *end = b->types + b->types_size;
	bool has_block = false, has_function = false;
	uint32_t id;

	*ret = (struct layout){ 0 };
	for (id = 1; at + sizeof(struct btf_type) <= end; id++) {
		const struct btf_type *t = (const struct btf_type *)at;
		uint32_t kind = BTF_INFO_KIND(t->info);

		at += sizeof(*t) + tail_size(t);
		if (at > end)
			break;
		if (kind == BTF_KIND_FUNC && !strcmp(name_of(b, t->name_off), "bpf_iter_task"))
			ret->iterator = id;
		else if (kind == BTF_KIND_STRUCT && !strcmp(name_of(b, t->name_off), "task_struct"))
			has_block = member_offset(b, t, "restart_block", &ret->block);
		else if (kind == BTF_KIND_STRUCT &&
			 !strcmp(name_of(b, t->name_off), "restart_block"))
			has_function = member_offset(b, t, "fn", &ret->function);
		else
			continue;
		if (ret->iterator && has_block && has_function)
			return 0;
	}
	return ENOENT;
}

static int parse_types(const char *data, size_t size, struct layout *ret)
{
	const struct btf_header *h = (const struct btf_header *)data;
	struct types b;

	if (size < sizeof(*h) || h->magic != BTF_MAGIC || h->hdr_len > size)
		return EINVAL;
	size -= h->hdr_len;
	if (h->type_off > size || h->type_len > size - h->type_off || h->str_off > size ||
	    h->str_len > size - h->str_off || !h->str_len ||
	    data[h->hdr_len + h->str_off + h->str_len - 1])
		return EINVAL;
	b = (struct types){
		.types = data + h->hdr_len + h->type_off,
		.strings = data + h->hdr_len + h->str_off,
		.types_size = h->type_len,
		.strings_size = h->str_len,
	};
	return find_layout(&b, ret);
}

/* Since Linux 6.16 the file can be mapped, which spares copying megabytes. */
static int read_layout(struct layout *ret)
{
	_cleanup_fd_ int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	_cleanup_buffer_ struct buffer copy = { 0 };
	struct stat st;
	void *map;
	int error;

	if (fd < 0 || fstat(fd, &st))
		return errno;
	map = st.st_size ? mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (map == MAP_FAILED) {
		if (buffer_reserve(&copy, st.st_size + 1) || read_fd_to_end(fd, &copy))
			return errno;
		return parse_types(copy.data, copy.size, ret);
	}
	error = parse_types(map, st.st_size, ret);
	munmap(map, st.st_size);
	return error;
}

/* ---- the program ---- */

static int sys_bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

#define INSN(op, dst, src, offset, value) \
	{ .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) }
#define LOAD(dst, src, offset) INSN(BPF_LDX | BPF_MEM | BPF_DW, dst, src, offset, 0)
#define STORE(dst, offset, src) INSN(BPF_STX | BPF_MEM | BPF_DW, dst, src, offset, 0)
#define STORE_VALUE(dst, offset, value) INSN(BPF_ST | BPF_MEM | BPF_DW, dst, 0, offset, value)
#define COPY(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define SET(dst, value) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value)
#define ADD(dst, value) INSN(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, value)
#define SKIP_UNLESS_ZERO(reg, count) INSN(BPF_JMP | BPF_JNE | BPF_K, reg, 0, count, 0)
#define CALL(function) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum { R0, R1, R2, R3, R4, R5, R6, R7, FRAME = 10 };

/* For each task: writes struct report, then the name of its function and a newline. */
static int load_program(const struct layout *at)
{
	enum {
		REPORT = -(int)sizeof(struct report),
		FORMAT = REPORT - 8,
		KEPT = offsetof(struct report, monotonic),
	};
	union {
		char text[4];
		int value;
	} format = { .text = "%ps" };
	const struct bpf_insn program[] = {
		/* context: { meta, task }, meta: { seq_file, … } */
		LOAD(R7, R1, 8),
		LOAD(R6, R1, 0),
		LOAD(R6, R6, 0),
		SKIP_UNLESS_ZERO(R7, 2),
		SET(R0, 0),
		EXIT,
		CALL(BPF_FUNC_ktime_get_ns),
		STORE(FRAME, REPORT + (int)offsetof(struct report, monotonic), R0),
		CALL(BPF_FUNC_ktime_get_boot_ns),
		STORE(FRAME, REPORT + (int)offsetof(struct report, boottime), R0),
		COPY(R1, FRAME),
		ADD(R1, REPORT),
		SET(R2, KEPT),
		COPY(R3, R7),
		ADD(R3, at->block + at->function),
		CALL(BPF_FUNC_probe_read_kernel),
		COPY(R1, R6),
		COPY(R2, FRAME),
		ADD(R2, REPORT),
		SET(R3, sizeof(struct report)),
		CALL(BPF_FUNC_seq_write),
		STORE_VALUE(FRAME, FORMAT, format.value),
		COPY(R1, R6),
		COPY(R2, FRAME),
		ADD(R2, FORMAT),
		SET(R3, sizeof(format.text)),
		COPY(R4, FRAME),
		ADD(R4, REPORT),
		SET(R5, sizeof(uint64_t)),
		CALL(BPF_FUNC_seq_printf),
		SET(R0, 0),
		EXIT,
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_ITER,
		.attach_btf_id = at->iterator,
		.insns = (uint64_t)program,
		.insn_cnt = ARRAY_SIZE(program),
		.license = (uint64_t) "GPL",
	};

	return sys_bpf(BPF_PROG_LOAD, &attr);
}

int restart_reader_open(struct restart_reader *r)
{
	struct layout layout;

	if (r->tried)
		return r->error;
	*r = (struct restart_reader){ .tried = true, .program = -1 };
	r->error = feature_hidden("restart-block") ? ENOSYS : read_layout(&layout);
	if (r->error)
		return r->error;
	r->program = load_program(&layout);
	if (r->program < 0)
		r->error = errno;
	return r->error;
}

void restart_reader_close(struct restart_reader *r)
{
	if (r->tried)
		fd_close(&r->program);
	*r = (struct restart_reader){ 0 };
}

/* Runs the program for one thread; returns the bytes that it wrote, or -1 with errno. */
static ssize_t run_for(int program, pid_t tid, void *data, size_t size)
{
	union bpf_iter_link_info who = { .task.tid = tid };
	union bpf_attr link = {
		.link_create.prog_fd = program,
		.link_create.attach_type = BPF_TRACE_ITER,
		.link_create.iter_info = (uint64_t)&who,
		.link_create.iter_info_len = sizeof(who),
	};
	_cleanup_fd_ int link_fd = sys_bpf(BPF_LINK_CREATE, &link);
	union bpf_attr iterator = { .iter_create.link_fd = link_fd };
	_cleanup_fd_ int fd = link_fd < 0 ? -1 : sys_bpf(BPF_ITER_CREATE, &iterator);

	return fd < 0 ? -1 : read_full(fd, data, size);
}

static int64_t now_by(const struct report *r, int clock)
{
	struct timespec now;

	switch (clock) {
	case CLOCK_MONOTONIC:
		return r->monotonic;
	case CLOCK_BOOTTIME:
		return r->boottime;
	}
	return clock_gettime(clock, &now) ? 0 : now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}

static void decode(const struct report *r, const char *function, struct restart_block *ret)
{
	*ret = (struct restart_block){ .timed = true };
	if (!strcmp(function, "hrtimer_nanosleep_restart")) {
		ret->call = RESTART_SLEEP;
		ret->clock = r->sleep.clock;
		ret->address = r->sleep.has_rest ? r->sleep.rest : 0;
		ret->remaining_ns = r->sleep.end - now_by(r, r->sleep.clock);
	} else if (!strcmp(function, "do_restart_poll")) {
		ret->call = RESTART_POLL;
		ret->address = r->poll.address;
		ret->value = r->poll.count;
		ret->timed = r->poll.timed;
		ret->remaining_ns = r->poll.end_s * NS_PER_S + r->poll.end_ns - r->monotonic;
	} else if (!strcmp(function, "futex_wait_restart")) {
		ret->call = RESTART_FUTEX;
		ret->address = r->futex.address;
		ret->value = r->futex.value;
		ret->remaining_ns = r->futex.end - r->monotonic;
	}
}

int restart_reader_read(struct restart_reader *r, pid_t tid, struct restart_block *ret)
{
	struct {
		struct report report;
		char function[REPORT_MAX - sizeof(struct report)];
	} got = { 0 };
	int error = restart_reader_open(r);
	ssize_t size;

	if (error)
		return error;
	size = run_for(r->program, tid, &got, sizeof(got) - 1);
	if (size < 0)
		return errno;
	if ((size_t)size < sizeof(got.report))
		return ESRCH;
	/* A compiler that cloned the function has added a dot and its own words. */
	got.function[strcspn(got.function, ".\n")] = 0;
	decode(&got.report, got.function, ret);
	return 0;
}
