/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers, extended state and signal mask of a thread, with the system call that our stop has
 * interrupted. Restore sets them at the very end (steps/release.c): nothing may run in the thread
 * afterwards but itself.
 */
#include <sys/syscall.h>
#include <time.h>

#include "images/registers.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind registers_kind;

enum { NS_PER_S = 1000000000 };

/* A relative sleep that is stopped leaves what remains of it in the memory that the program gave
 * for it; a poll or futex wait keeps that in the kernel alone. */
static bool remaining_time(const struct dump_thread *t, uint64_t *ret)
{
	struct error unreadable = ERROR_INIT;
	struct timespec rest;
	uint64_t a[6], address;

	arch_call_arguments(&t->tracee.saved, a);
	switch (arch_call_number(&t->tracee.saved)) {
	case SYS_nanosleep:
		address = a[1];
		break;
	case SYS_clock_nanosleep:
		address = a[3];
		break;
	default:
		return false;
	}
	if (!address || tracee_read(&t->tracee, address, &rest, sizeof(rest), &unreadable)) {
		error_clear(&unreadable);
		return false;
	}
	*ret = rest.tv_sec * (uint64_t)NS_PER_S + rest.tv_nsec;
	return true;
}

static int registers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			  struct error *err)
{
	struct tracee *held = &t->tracee;
	Registers m = REGISTERS__INIT;

	m.tid = t->tid;
	m.general.data = (void *)&held->saved.user;
	m.general.len = sizeof(held->saved.user);
	m.extended.data = held->xstate;
	m.extended.len = held->xstate_size;
	m.blocked = held->sigmask;
	if (arch_interrupted(&held->saved) == ARCH_RESTART_BLOCK)
		m.has_remaining_ns = remaining_time(t, &m.remaining_ns);
	return dump_state(t->task->dump, &registers_kind, &m.base, err);
}

static const struct state_ops registers_state = { .take = registers_take };

const struct kind registers_kind = {
	.name = "registers",
	.record = 0xb1,
	.scope = KIND_THREAD,
	.message = &registers__descriptor,
	.help = "processor registers with the full extended state, signal mask, interrupted calls",
	.state = &registers_state,
};
