/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls that a program catches itself, as emulators do. A thread in code whose calls are
 * caught just then cannot make any for us and is refused (tracee_save).
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "images/syscall_dispatch.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind syscall_dispatch_kind;

/* PR_SYS_DISPATCH_INCLUSIVE_ON (Linux 6.17): the range is what is caught. */
enum { CATCH_INSIDE = 2 };

static int syscall_dispatch_take(struct dump_thread *t, const struct batch *b,
				 const struct ask *ask, struct error *err)
{
	SyscallDispatch m = SYSCALL_DISPATCH__INIT;
	struct tracee_dispatch found;

	if (tracee_dispatch(&t->tracee, &found, err))
		return -1;
	if (!found.on)
		return 0;
	m.tid = t->tid;
	m.start = found.start;
	m.size = found.size;
	m.selector = found.selector;
	return dump_state(t->task->dump, &syscall_dispatch_kind, &m.base, err);
}

static int syscall_dispatch_put(struct restore_thread *t, const ProtobufCMessage *message,
				struct batch *b, struct error *err)
{
	const SyscallDispatch *m = (const SyscallDispatch *)message;

	/* The kernel keeps a range that is caught as the one that wraps around it. */
	if (m->start && m->start + m->size <= m->start)
		batch_must(b, SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, CATCH_INSIDE,
			   m->start + m->size, -m->size, m->selector);
	else
		batch_must(b, SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			   m->start, m->size, m->selector);
	return 0;
}

static const struct state_ops syscall_dispatch_state = {
	.take = syscall_dispatch_take,
	.put = syscall_dispatch_put,
};

const struct kind syscall_dispatch_kind = {
	.name = "syscall-dispatch",
	.record = 0x8c,
	.scope = KIND_THREAD,
	.message = &syscall_dispatch__descriptor,
	.help = "system calls that the program catches itself",
	.state = &syscall_dispatch_state,
};
