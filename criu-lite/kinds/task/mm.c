/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel knows of an address space besides its areas: PR_SET_MM_MAP and others. */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/mm.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"
#include "tracee/batch.h"

extern const struct kind mm_kind;

/* uapi linux/prctl.h of newer kernels */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

enum {
	AUXV_SIZE_MAX = 50 * 16,	/* AT_VECTOR_SIZE words */
	LDT_PROBE_SIZE = 16,
	PAGE = 4096,
};

/* What is asked, in this order. */
enum question { ASK_BRK, ASK_THP, ASK_MDWE, ASK_MERGE, ASK_LDT, ASK_PAGE, ASK_RESIDENT };

static int mm_check(const struct task_look *look, struct blockers *blockers, struct error *err)
{
	if (!proc_status_has(look->status, STATUS_UNTAG_MASK) || look->status->untag_mask == ~0ull)
		return 0;
	if (blockers_add(blockers, look->pid,
			 "its addresses bear tags (LAM), which cannot be saved", NULL, "program"))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int mm_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	int page;

	ask->record = batch_call(b, SYS_brk, 0);
	batch_call(b, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	batch_call(b, SYS_prctl, PR_GET_MDWE, 0, 0, 0, 0);
	batch_call(b, SYS_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
	ask->address[0] = batch_space(b, LDT_PROBE_SIZE);
	batch_call(b, SYS_modify_ldt, 0, ask->address[0], LDT_PROBE_SIZE);
	/* Only with MCL_FUTURE, which nothing shows, a new page is there before it is touched. */
	page = batch_call(b, SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ask->address[1] = batch_space(b, 1);
	batch_from(b, batch_call(b, SYS_mincore, 0, PAGE, ask->address[1]), 0, page);
	batch_from(b, batch_call(b, SYS_munmap, 0, PAGE), 0, page);
	return 0;
}

/* A call that an older kernel does not know has nothing to tell. */
static uint32_t answer(const struct batch *b, const struct ask *ask, enum question q)
{
	int64_t result = batch_result(b, ask->record + q);

	return result > 0 ? result : 0;
}

static int mm_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
		   struct error *err)
{
	const struct proc_stat *stat = &t->task->stat;
	_cleanup_buffer_ struct buffer auxv = { 0 };
	Mm m = MM__INIT;

	if (read_file_at(t->task->proc_fd, "auxv", &auxv))
		return error_set(err, ERROR_TARGET, errno, "process %d: cannot read its auxv",
				 t->task->pid);
	if (batch_result(b, ask->record + ASK_LDT) > 0)
		return error_set(err, ERROR_BLOCKED, 0, "process %d: its own segment descriptors "
				 "(modify_ldt) cannot be saved", t->task->pid);
	m.pid = t->task->pid;
	m.start_code = stat->start_code;
	m.end_code = stat->end_code;
	m.start_data = stat->start_data;
	m.end_data = stat->end_data;
	m.start_brk = stat->start_brk;
	m.brk = batch_result(b, ask->record + ASK_BRK);
	m.start_stack = stat->start_stack;
	m.arg_start = stat->arg_start;
	m.arg_end = stat->arg_end;
	m.env_start = stat->env_start;
	m.env_end = stat->env_end;
	m.auxv.data = (uint8_t *)auxv.data;
	m.auxv.len = auxv.size;
	m.thp_disable = answer(b, ask, ASK_THP);
	m.has_thp_disable = m.thp_disable != 0;
	m.mdwe = answer(b, ask, ASK_MDWE);
	m.has_mdwe = m.mdwe != 0;
	m.memory_merge = answer(b, ask, ASK_MERGE) != 0;
	m.has_memory_merge = m.memory_merge;
	m.lock_future = batch_result(b, ask->record + ASK_PAGE) > 0 &&
			batch_result(b, ask->record + ASK_RESIDENT) == 0 &&
			*(const char *)batch_at(b, ask->address[1]) & 1;
	m.has_lock_future = m.lock_future;
	return dump_state(t->task->dump, &mm_kind, &m.base, err);
}

/* The auxiliary vector of a task is one of its kernel; anything longer would be refused. */
static int put_map(const Mm *m, struct batch *b, struct error *err)
{
	struct prctl_mm_map map = {
		.start_code = m->start_code,
		.end_code = m->end_code,
		.start_data = m->start_data,
		.end_data = m->end_data,
		.start_brk = m->start_brk,
		.brk = m->brk,
		.start_stack = m->start_stack,
		.arg_start = m->arg_start,
		.arg_end = m->arg_end,
		.env_start = m->env_start,
		.env_end = m->env_end,
		.auxv_size = m->auxv.len,
		.exe_fd = -1,
	};

	if (m->auxv.len > AUXV_SIZE_MAX)
		return error_set(err, ERROR_IMAGE, 0, "process %u: an auxv of %zu bytes", m->pid,
				 m->auxv.len);
	map.auxv = (void *)batch_put(b, m->auxv.data, m->auxv.len);
	batch_must(b, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, batch_put(b, &map, sizeof(map)),
		   sizeof(map), 0);
	return 0;
}

static int mm_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		  struct error *err)
{
	const Mm *m = (const Mm *)message;

	if (put_map(m, b, err))
		return -1;
	if (m->thp_disable)
		batch_must(b, SYS_prctl, PR_SET_THP_DISABLE, 1, m->thp_disable & ~1u, 0, 0);
	if (m->memory_merge)
		batch_must(b, SYS_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	if (m->lock_future)
		batch_must(b, SYS_mlockall, MCL_FUTURE);
	if (m->mdwe)
		batch_must(b, SYS_prctl, PR_SET_MDWE, m->mdwe, 0, 0, 0);
	return 0;
}

static const struct state_ops mm_state = {
	.check = mm_check,
	.ask = mm_ask,
	.take = mm_take,
	.put = mm_put,
};

const struct kind mm_kind = {
	.name = "mm",
	.record = 0x39,
	.scope = KIND_TASK,
	.message = &mm__descriptor,
	.help = "places of code, data, heap, stack, arguments and environment; auxv; memory "
		"policies",
	.state = &mm_state,
};
