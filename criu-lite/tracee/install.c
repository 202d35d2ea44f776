/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bringing the agent in and out. At each instant, whoever would have to clean up after us finds in
 * the note what may be in the process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "proc/maps.h"
#include "tracee/agent.h"
#include "tracee/internal.h"

enum {
	HOLE_MARGIN = 64 * 1024,	/* kept free on both sides, so that nothing merges */
	LOWEST_HOLE = 0x10000,		/* vm.mmap_min_addr of every distribution */
	FIRST_FREE_SIGNAL = 35,		/* the C library keeps 32 to 34 for itself */
	LAST_SIGNAL = 64,
};

/* struct sigaction of the kernel */
struct kernel_action {
	uint64_t handler, flags, restorer, mask;
};

uint64_t agent_find_hole(const struct vma_list *maps, uint64_t from, size_t size)
{
	uint64_t at = from > LOWEST_HOLE ? from : LOWEST_HOLE;
	const struct vma *v;

	array_for(v, &maps->vmas) {
		if (v->start >= at + size + HOLE_MARGIN)
			return at;
		if (v->end + HOLE_MARGIN > at)
			at = v->end + HOLE_MARGIN;
	}
	return at + size + HOLE_MARGIN <= arch_task_size() ? at : 0;
}

static bool in_set(uint64_t set, int signal)
{
	return set >> (signal - 1) & 1;
}

/* A signal whose default is to be ignored, and which the program leaves at that, needs no change
 * of its disposition. SIGCONT would wake a stopped program. */
static int harmless_signal(const struct agent_site *site, uint64_t avoid)
{
	static const int candidates[] = { SIGURG, SIGWINCH, SIGCHLD, SIGCONT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(candidates); i++)
		if (!in_set(avoid, candidates[i]) &&
		    !(site->stopped && candidates[i] == SIGCONT))
			return candidates[i];
	return 0;
}

static int real_time_signal(uint64_t avoid)
{
	int signal;

	for (signal = LAST_SIGNAL; signal >= FIRST_FREE_SIGNAL; signal--)
		if (!in_set(avoid, signal))
			return signal;
	return 0;
}

/* Best one that nobody would miss: a blocked signal may be waited for by signalfd(2) and such. */
int agent_plan(struct agent *a, const struct agent_site *site, struct error *err)
{
	uint64_t taken = site->caught | site->pending;

	*a = (struct agent){ .note = site->note };
	a->address = agent_find_hole(site->maps, 0, AGENT_SIZE);
	if (!a->address)
		return error_set(err, ERROR_TARGET, 0, "no free address range of %d KiB",
				 AGENT_SIZE / 1024);
	a->stop_signal = harmless_signal(site, taken | site->blocked);
	if (!a->stop_signal)
		a->stop_signal = harmless_signal(site, taken);
	if (a->stop_signal)
		return 0;
	a->borrows_signal = true;
	a->stop_signal = real_time_signal(taken | site->blocked);
	if (!a->stop_signal)
		a->stop_signal = real_time_signal(site->pending);
	if (!a->stop_signal)
		return error_set(err, ERROR_TARGET, 0, "every real-time signal is pending");
	return 0;
}

/* Gives the stop signal the disposition "ignore". The old one is known, here and to the guard,
 * before that. */
static int borrow_signal(struct agent *a, struct tracee *t, struct error *err)
{
	const struct kernel_action ignore = { .handler = (uint64_t)SIG_IGN };
	uint64_t action = agent_data_address(a), old = action + sizeof(ignore);
	int64_t result;

	if (tracee_write(t, action, &ignore, sizeof(ignore), err) ||
	    net_call(a, t, &result, err, SYS_rt_sigaction, a->stop_signal, 0, old, 8) ||
	    tracee_read(t, old, a->old_action, sizeof(a->old_action), err))
		return -1;
	if (a->note) {
		memcpy(a->note->old_action, a->old_action, sizeof(a->old_action));
		a->note->borrowed = true;
	}
	a->disposition_changed = true;
	return net_call(a, t, &result, err, SYS_rt_sigaction, a->stop_signal, action, 0, 8);
}

static int return_signal(struct agent *a, struct tracee *t, struct error *err)
{
	uint64_t action = agent_data_address(a);
	int64_t result;

	if (tracee_write(t, action, a->old_action, sizeof(a->old_action), err) ||
	    net_call(a, t, &result, err, SYS_rt_sigaction, a->stop_signal, action, 0, 8))
		return -1;
	a->disposition_changed = false;
	if (a->note)
		a->note->borrowed = false;
	return 0;
}

/* The code goes to the data, too, before there is a place for it: by that, what is left of us is
 * known should nobody live to put it where it belongs. */
static int map_area(struct agent *a, struct tracee *t, struct error *err)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	const size_t size = arch_agent_end - arch_agent_begin;
	int64_t area = -1, code = -1;

	if (a->note) {
		a->note->stop_signal = a->stop_signal;
		a->note->address = a->address;
	}
	if (net_call(a, t, &area, err, SYS_mmap, a->address, AGENT_SIZE, PROT_READ | PROT_WRITE,
		     flags | MAP_FIXED_NOREPLACE, -1, 0))
		return -1;
	a->mapped = area == (int64_t)a->address;
	if (a->mapped &&
	    (tracee_write(t, a->address + AGENT_CODE_SIZE, arch_agent_begin, size, err) ||
	     net_call(a, t, &code, err, SYS_mmap, a->address, AGENT_CODE_SIZE,
		      PROT_READ | PROT_EXEC, flags | MAP_FIXED, -1, 0)))
		return -1;
	if (!a->mapped || code != area)
		return error_set(err, ERROR_TARGET, area < 0 ? -area : -code,
				 "process %d: cannot map %d KiB in it", t->tgid, AGENT_SIZE / 1024);
	return tracee_poke(t, a->address, arch_agent_begin, size, err);
}

static int unmap_area(struct agent *a, struct tracee *t, struct error *err)
{
	int64_t result = -1;

	if (net_call(a, t, &result, err, SYS_munmap, a->address, AGENT_SIZE))
		return -1;
	if (result)
		return error_set(err, ERROR_TARGET, -result, "process %d: cannot unmap the agent",
				 t->tgid);
	a->mapped = false;
	if (a->note)
		a->note->address = 0;
	return 0;
}

int agent_install(struct agent *a, struct tracee *t, const struct agent_site *site,
		  struct error *err)
{
	_Static_assert(sizeof(struct kernel_action) == sizeof(a->old_action), "kernel sigaction");
	if (net_spread(a, t, site, err) || map_area(a, t, err) ||
	    (a->borrows_signal && borrow_signal(a, t, err)))
		return -1;
	return tracee_restore(t, err);
}

int agent_call_once(struct tracee *t, const struct agent_site *site, int64_t *ret,
		    struct error *err, long number, const uint64_t args[6])
{
	struct agent a = { .note = site->note };
	int r = net_spread(&a, t, site, err) || net_call_array(&a, t, ret, err, number, args) ||
				net_gather(&a, t, err) ?
			-1 :
			0;

	agent_release(&a);
	return r;
}

int agent_remove(struct agent *a, struct tracee *t, struct error *err)
{
	if (a->net.place && ((a->disposition_changed && return_signal(a, t, err)) ||
			     (a->mapped && unmap_area(a, t, err)) || net_gather(a, t, err)))
		return -1;
	agent_release(a);
	return 0;
}
