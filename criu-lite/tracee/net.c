/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The safety net: calls made with hijacked registers while there is no agent. They are made at a
 * `syscall; ret` of the program's own code, with a stack of {rt_sigreturn trampoline, signal
 * frame}. Run untraced, the call is made and the program goes on with its own registers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "proc/maps.h"
#include "tracee/agent.h"
#include "tracee/internal.h"

enum {
	PAGE = 4096,
	STACK_BOTTOM_ROOM = 32 * 1024,	/* below a net at the bottom of the stack: for handlers */
	STACK_UNUSED_MIN = 96 * 1024,
	FRAME_OFFSET = sizeof(uint64_t),	/* behind the trampoline's address */
};

static bool all_zero(const struct tracee *t, uint64_t address, size_t size)
{
	_cleanup_free_ char *bytes = malloc(size);

	return bytes && !tracee_peek(t, address, bytes, size) && !bytes[0] &&
	       !memcmp(bytes, bytes + 1, size - 1);
}

/*
 * Where the net can lie: the never used bottom of the main stack, if there is one (a program with
 * stacks of its own, such as goroutines, may have live data below its stack pointer), else below
 * the red zone, where the kernel itself would put a signal frame.
 */
static void choose_place(const struct tracee *t, const struct vma_list *maps, struct agent_net *net)
{
	uint64_t sp = arch_sp(&t->saved);
	const struct vma *v;

	net->was_zero = false;
	net->place = (sp - ARCH_RED_ZONE - net->size) & ~63ull;
	array_for(v, &maps->vmas) {
		uint64_t bottom = v->start + STACK_BOTTOM_ROOM;
		bool here = sp >= v->start && sp < v->end;

		if (v->kind != VMA_STACK || v->end - v->start < STACK_UNUSED_MIN)
			continue;
		if (here && sp < bottom + net->size + PAGE)
			return;
		net->was_zero = all_zero(t, bottom, net->size);
		if (net->was_zero || !here)
			net->place = bottom;
		return;
	}
}

/* Reads what is where the net will lie. Below a stack that is used to its end there is nothing yet:
 * a write through /proc/pid/mem lets it grow, as a signal would. */
static int read_place(const struct tracee *t, const struct agent_net *net, void *data,
		      struct error *err)
{
	_cleanup_error_ struct error refused = ERROR_INIT;
	const char nothing = 0;

	if (tracee_peek(t, net->place, data, net->size) == 0)
		return 0;
	if (errno == EFAULT)
		tracee_poke(t, net->place, &nothing, sizeof(nothing), &refused);
	if (tracee_read(t, net->place, data, net->size, err))
		return error_hint(err, "its stack has no room for a signal frame");
	return 0;
}

int net_spread(struct agent *a, struct tracee *t, const struct agent_site *site, struct error *err)
{
	_cleanup_free_ char *bytes = NULL;
	struct agent_net *net = &a->net;
	struct agent_net chosen = {
		.size = tracee_frame(t, NULL, 0) + FRAME_OFFSET,
	};

	if (gadgets_find(t, site, &chosen.call, &chosen.sigreturn, err))
		return -1;
	choose_place(t, site->maps, &chosen);
	bytes = calloc(1, chosen.size);
	a->net_saved = malloc(chosen.size);
	if (!bytes || !a->net_saved)
		return error_set(err, ERROR_FAILED, ENOMEM, "task %d: safety net", t->tid);
	memcpy(bytes, &chosen.sigreturn, sizeof(chosen.sigreturn));
	tracee_frame(t, bytes + FRAME_OFFSET, chosen.place + FRAME_OFFSET);
	if (read_place(t, &chosen, a->net_saved, err))
		return -1;
	if (a->note)
		a->note->net = chosen;
	*net = chosen;
	return tracee_write(t, net->place, bytes, net->size, err);
}

/* The thread's registers lead home, and only then are its signals blocked: killed in between, it
 * takes them as if it had never been here. */
static int step_in(struct agent *a, struct tracee *t, struct error *err)
{
	static const uint64_t none[6];
	struct arch_regs regs = t->saved;

	arch_call_regs(&regs, a->net.sigreturn, a->net.place + FRAME_OFFSET, 0, none);
	if (tracee_set_regs(t, &regs, err))
		return -1;
	t->hijacked = true;
	return tracee_set_sigmask(t, ~0ull, err);
}

int net_call_array(struct agent *a, struct tracee *t, int64_t *ret, struct error *err, long number,
		   const uint64_t args[6])
{
	struct arch_regs regs = t->saved;

	if (!t->hijacked && step_in(a, t, err))
		return -1;
	arch_call_regs(&regs, a->net.call, a->net.place, number, args);
	if (tracee_set_regs(t, &regs, err) || tracee_to_syscall(t, err) ||
	    tracee_to_syscall(t, err) || tracee_get_regs(t, &regs, err))
		return -1;
	*ret = arch_call_result(&regs);
	return 0;
}

int net_gather(struct agent *a, struct tracee *t, struct error *err)
{
	if (tracee_restore(t, err) ||
	    tracee_write(t, a->net.place, a->net_saved, a->net.size, err))
		return -1;
	if (a->note)
		a->note->net.place = 0;
	a->net.place = 0;
	return 0;
}
