/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers, extended state and signal mask of a thread, with the system call that our stop has
 * interrupted. Restore sets them at the very end (steps/release.c): nothing may run in the thread
 * afterwards but itself.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "kinds/task/interrupted.h"

extern const struct kind registers_kind;

/* A program for 32 bits has other system calls and another frame for signals. */
static int registers_check(const struct task_look *look, struct blockers *blockers,
			   struct error *err)
{
	_cleanup_fd_ int exe = openat(look->proc_fd, "exe", O_RDONLY | O_CLOEXEC);
	unsigned char ident[EI_NIDENT];

	if (exe < 0 || pread_full(exe, ident, sizeof(ident), 0) != sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG) || ident[EI_CLASS] != ELFCLASS32)
		return 0;
	if (blockers_add(blockers, look->pid, "32-bit programs cannot be saved",
			 "use the program's 64-bit build", "program"))
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid);
	return 0;
}

static int registers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			  struct error *err)
{
	struct tracee *held = &t->tracee;
	struct arch_regs regs = held->saved;
	Registers m = REGISTERS__INIT;
	TimedWait wait;

	m.tid = t->tid;
	if (interrupted_take(t, &regs, &wait))
		m.wait = &wait;
	m.general.data = (void *)&regs.user;
	m.general.len = sizeof(regs.user);
	m.extended.data = held->xstate;
	m.extended.len = held->xstate_size;
	m.blocked = held->sigmask;
	return dump_state(t->task->dump, &registers_kind, &m.base, err);
}

static const struct state_ops registers_state = {
	.check = registers_check,
	.take = registers_take,
};

const struct kind registers_kind = {
	.name = "registers",
	.record = 0xb1,
	.scope = KIND_THREAD,
	.message = &registers__descriptor,
	.help = "processor registers with the full extended state, signal mask, interrupted calls",
	.state = &registers_state,
};
