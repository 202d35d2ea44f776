/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System call filters. They come before the credentials, whose loss would forbid to install them:
 * while we hold a thread its filters are not asked (PTRACE_O_SUSPEND_SECCOMP).
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/seccomp.pb-c.h"
#include "kernel-compat/features.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind seccomp_kind;

static int seccomp_check(const struct task_look *look, struct blockers *blockers,
			 struct error *err)
{
	if (look->status->seccomp == SECCOMP_MODE_DISABLED || feature_works("cap-sys-admin"))
		return 0;
	if (blockers_add(blockers, look->pid, "cannot be read or put off without CAP_SYS_ADMIN",
			 "run criu-lite as root", "seccomp filters"))
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid);
	return 0;
}

struct filters {
	ARRAY_OF(SeccompFilter) list;	/* the oldest first, as ptrace numbers them */
};

static void filters_release(struct filters *f)
{
	SeccompFilter *filter;

	array_for(filter, &f->list)
		free(filter->program.data);
	array_release(&f->list);
}

/* A filter that asks a supervisor is tied to a descriptor which that one holds. */
static bool asks_supervisor(const struct sock_filter *program, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (program[i].code == (BPF_RET | BPF_K) &&
		    (program[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return true;
	return false;
}

static int read_filters(struct dump_thread *t, struct filters *f, struct error *err)
{
	for (;;) {
		struct sock_filter program[BPF_MAXINSNS];
		SeccompFilter *filter;
		uint64_t flags;
		int count = tracee_seccomp_filter(&t->tracee, f->list.count, program, &flags, err);

		if (count <= 0)
			return count;
		if (asks_supervisor(program, count)) {
			error_set(err, ERROR_BLOCKED, 0,
				  "task %d: a seccomp filter asks a supervisor "
				  "(SECCOMP_RET_USER_NOTIF), which cannot be saved",
				  t->tid);
			return error_hint(err, "start the program without that supervisor");
		}
		filter = array_add(&f->list);
		if (!filter)
			return error_set(err, ERROR_FAILED, ENOMEM, "task %d: filters", t->tid);
		*filter = (SeccompFilter)SECCOMP_FILTER__INIT;
		filter->program.len = count * sizeof(program[0]);
		filter->program.data = malloc(filter->program.len);
		if (!filter->program.data)
			return error_set(err, ERROR_FAILED, ENOMEM, "task %d: filters", t->tid);
		memcpy(filter->program.data, program, filter->program.len);
		filter->has_log = filter->log = flags & SECCOMP_FILTER_FLAG_LOG;
	}
}

static int seccomp_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			struct error *err)
{
	__attribute__((cleanup(filters_release))) struct filters found = { 0 };
	_cleanup_free_ SeccompFilter **list = NULL;
	Seccomp m = SECCOMP__INIT;
	size_t i;

	if (t->status.seccomp == SECCOMP_MODE_DISABLED)
		return 0;
	m.tid = t->tid;
	m.has_strict = m.strict = t->status.seccomp == SECCOMP_MODE_STRICT;
	if (m.strict)
		return dump_state(t->task->dump, &seccomp_kind, &m.base, err);
	if (read_filters(t, &found, err))
		return -1;
	list = calloc(found.list.count + 1, sizeof(*list));
	if (!list)
		return error_set(err, ERROR_FAILED, ENOMEM, "task %d: filters", t->tid);
	for (i = 0; i < found.list.count; i++)
		list[i] = &found.list.items[i];
	m.filters = list;
	m.n_filters = found.list.count;
	return dump_state(t->task->dump, &seccomp_kind, &m.base, err);
}

static int put_filter(const Seccomp *m, const SeccompFilter *filter, struct batch *b,
		      struct error *err)
{
	size_t count = filter->program.len / sizeof(struct sock_filter);
	/* Its side effect on speculation is a state of its own (kind "processor"). */
	uint64_t flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	struct sock_fprog program = { .len = count };

	if (!count || count > BPF_MAXINSNS || filter->program.len % sizeof(struct sock_filter))
		return error_set(err, ERROR_IMAGE, 0, "task %u: a filter of %zu bytes", m->tid,
				 filter->program.len);
	if (filter->log)
		flags |= SECCOMP_FILTER_FLAG_LOG;
	program.filter = (void *)batch_put(b, filter->program.data, filter->program.len);
	batch_must(b, SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
		   batch_put(b, &program, sizeof(program)));
	return 0;
}

/* Long chains of filters do not fit into one batch. */
static int put_by_batches(struct restore_thread *t, const Seccomp *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t i;

	for (i = 0; i < m->n_filters; i++) {
		batch_start(&b, &t->task->agent);
		if (put_filter(m, m->filters[i], &b, err) ||
		    agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
	}
	return 0;
}

static int seccomp_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		       struct error *err)
{
	enum { MARGIN = 64 };	/* struct sock_fprog, alignment */
	const Seccomp *m = (const Seccomp *)message;
	size_t size = 0, i;

	if (m->strict) {
		batch_must(b, SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		return 0;
	}
	for (i = 0; i < m->n_filters; i++)
		size += m->filters[i]->program.len + MARGIN;
	if (!batch_has_room(b, 2 * m->n_filters, 2 * size))
		return put_by_batches(t, m, err);
	for (i = 0; i < m->n_filters; i++)
		if (put_filter(m, m->filters[i], b, err))
			return -1;
	return 0;
}

static const struct state_ops seccomp_state = {
	.check = seccomp_check,
	.take = seccomp_take,
	.put = seccomp_put,
};

const struct kind seccomp_kind = {
	.name = "seccomp",
	.record = 0x88,
	.scope = KIND_THREAD,
	.message = &seccomp__descriptor,
	.help = "system call filters, strict mode",
	.state = &seccomp_state,
};
