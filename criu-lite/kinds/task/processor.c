/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switches of the processor, and of protections against what it leaks, for one thread. */
#include <asm/prctl.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/processor.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind processor_kind;

#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH 2
#endif

/* Records of the questions, behind the first. */
enum {
	ASK_TSC, ASK_CPUID, ASK_STORE_BYPASS, ASK_INDIRECT_BRANCH, ASK_L1D_FLUSH,
	ASK_MACHINE_CHECK,
};

static int processor_check(const struct task_look *look, struct blockers *blockers,
			   struct error *err)
{
	int failed = 0;

	if (look->status->x86_features & PROC_X86_SHSTK)
		failed |= blockers_add(blockers, look->pid, "shadow stacks cannot be saved",
				       "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
				       "shadow stack");
	if (proc_status_has(look->status, STATUS_UNTAG_MASK) && ~look->status->untag_mask)
		failed |= blockers_add(blockers, look->pid,
				       "tagged addresses cannot be saved",
				       "start it without linear address masking",
				       "address mask %llx",
				       (unsigned long long)look->status->untag_mask);
	return failed ? error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid) : 0;
}

static int processor_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(int32_t));
	ask->record = batch_must(b, SYS_prctl, PR_GET_TSC, ask->address[0]);
	batch_call(b, SYS_arch_prctl, ARCH_GET_CPUID);
	batch_call(b, SYS_prctl, PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS);
	batch_call(b, SYS_prctl, PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH);
	batch_call(b, SYS_prctl, PR_GET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH);
	batch_call(b, SYS_prctl, PR_MCE_KILL_GET);
	return 0;
}

/* What the thread has chosen; false when it may not choose or has the usual. */
static bool has_chosen(int64_t answer, uint32_t usual, protobuf_c_boolean *has, uint32_t *ret)
{
	uint32_t chosen = answer > 0 ? answer & ~PR_SPEC_PRCTL : 0;

	*has = answer > 0 && answer & PR_SPEC_PRCTL && chosen != usual;
	*ret = chosen;
	return *has;
}

static int processor_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			  struct error *err)
{
	int tsc = *(const int32_t *)batch_at(b, ask->address[0]);
	int64_t machine_check = batch_result(b, ask->record + ASK_MACHINE_CHECK);
	Processor m = PROCESSOR__INIT;
	bool any;

	m.tid = t->tid;
	m.has_no_tsc = m.no_tsc = tsc == PR_TSC_SIGSEGV;
	m.has_no_cpuid = m.no_cpuid = batch_result(b, ask->record + ASK_CPUID) == 0;
	m.has_machine_check = machine_check >= 0 && machine_check != PR_MCE_KILL_DEFAULT;
	m.machine_check = machine_check;
	any = m.no_tsc || m.no_cpuid || m.has_machine_check;
	any |= has_chosen(batch_result(b, ask->record + ASK_STORE_BYPASS), PR_SPEC_ENABLE,
			  &m.has_store_bypass, &m.store_bypass);
	any |= has_chosen(batch_result(b, ask->record + ASK_INDIRECT_BRANCH), PR_SPEC_ENABLE,
			  &m.has_indirect_branch, &m.indirect_branch);
	/* Here "enable" means flushing, which is not the usual. */
	any |= has_chosen(batch_result(b, ask->record + ASK_L1D_FLUSH), PR_SPEC_DISABLE,
			  &m.has_l1d_flush, &m.l1d_flush);
	return any ? dump_state(t->task->dump, &processor_kind, &m.base, err) : 0;
}

static int processor_put(struct restore_thread *t, const ProtobufCMessage *message,
			 struct batch *b, struct error *err)
{
	const Processor *m = (const Processor *)message;

	/* A processor that does not leak refuses the protection (ENXIO): nothing is lost then. */
	if (m->has_store_bypass)
		batch_call(b, SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS,
			   m->store_bypass);
	if (m->has_indirect_branch)
		batch_call(b, SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH,
			   m->indirect_branch);
	if (m->has_l1d_flush)
		batch_call(b, SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH, m->l1d_flush);
	if (m->has_machine_check)
		batch_must(b, SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET, m->machine_check);
	if (m->no_tsc)
		batch_must(b, SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV);
	if (m->no_cpuid)
		batch_must(b, SYS_arch_prctl, ARCH_SET_CPUID, 0);
	return 0;
}

/* A protection that was there and cannot be had here although the processor leaks. */
static int processor_finish(struct restore_thread *t, const ProtobufCMessage *message,
			    const struct batch *b, struct error *err)
{
	const struct batch_record *record;

	array_for(record, &b->records) {
		if (record->number != SYS_prctl || record->a[0] != PR_SET_SPECULATION_CTRL ||
		    record->result >= 0 || record->result == -ENXIO)
			continue;
		error_set(err, ERROR_FAILED, -record->result,
			  "task %d: its protection against speculation (%llu) cannot be had here",
			  t->tid, (unsigned long long)record->a[1]);
		return error_hint(err, "see spectre_v2_user and spec_store_bypass_disable in the "
				       "kernel's parameters");
	}
	return 0;
}

static const struct state_ops processor_state = {
	.check = processor_check,
	.ask = processor_ask,
	.take = processor_take,
	.put = processor_put,
	.finish = processor_finish,
};

const struct kind processor_kind = {
	.name = "processor",
	.record = 0x8a,
	.scope = KIND_THREAD,
	.message = &processor__descriptor,
	.help = "faults on TSC and CPUID, protections against speculation",
	.state = &processor_state,
};
