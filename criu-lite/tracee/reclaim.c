/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking out of a process what a dead tracer has left in it. Its threads have run on: one that was
 * hijacked finds home by itself, but may still be on its way, or stopped there by job control.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "proc/maps.h"
#include "tracee/agent.h"
#include "tracee/internal.h"

bool agent_note_pending(const struct agent_note *note)
{
	return note->net.place || note->address || note->borrowed;
}

static bool over_net(const struct agent_net *net, uint64_t pc, uint64_t sp)
{
	return net->place &&
	       ((pc - net->call < ARCH_GADGET_SIZE && sp == net->place) ||
		(pc - net->sigreturn < ARCH_GADGET_SIZE && sp == net->place + sizeof(uint64_t)));
}

static bool inside(const struct agent_note *note, uint64_t address, size_t size)
{
	return note->address && address - note->address < size;
}

/* Both the net and the agent end in rt_sigreturn(2), which sets the mask too. Until then only the
 * agent's own signal gets through: blocked, it would wait for the program. */
static int run_home(const struct agent_note *note, struct tracee *t, struct error *err)
{
	uint64_t own = note->stop_signal ? 1ull << (note->stop_signal - 1) : 0;
	struct arch_regs regs;

	if (tracee_set_sigmask(t, ~own, err))
		return -1;
	do {
		if (tracee_to_syscall(t, err) || tracee_get_regs(t, &regs, err) ||
		    tracee_to_syscall(t, err))
			return -1;
	} while (arch_call_number(&regs) != SYS_rt_sigreturn);
	t->requeue &= ~own;
	return 0;
}

int agent_bring_home(const struct agent_note *note, struct tracee *t, bool *ret_home,
		     struct error *err)
{
	struct arch_regs regs;

	if (tracee_get_regs(t, &regs, err))
		return -1;
	if (inside(note, arch_pc(&regs), AGENT_CODE_SIZE) ||
	    over_net(&note->net, arch_pc(&regs), arch_sp(&regs))) {
		if (run_home(note, t, err) || tracee_get_regs(t, &regs, err))
			return -1;
	}
	*ret_home = !inside(note, arch_sp(&regs) - 1, AGENT_SIZE);
	return 0;
}

/* A net in memory that was never used before is wiped out. One below the red zone of a stack lies
 * where a program cannot expect anything to stay, and may be in use now. */
static int wipe_net(struct agent_note *note, const struct tracee *threads, size_t count,
		    const struct vma_list *maps, struct error *err)
{
	const struct agent_net *net = &note->net;
	const struct vma *v = net->was_zero ? vma_list_find(maps, net->place) : NULL;
	_cleanup_free_ char *zeros = NULL;
	uint64_t word, sp;
	size_t i;

	if (!v)
		return 0;
	for (i = 0; i < count; i++) {
		sp = arch_sp(&threads[i].saved);
		if (sp >= v->start && sp < net->place + net->size)
			return 0;
	}
	if (tracee_read(threads, net->place, &word, sizeof(word), err))
		return -1;
	zeros = calloc(1, net->size);
	if (word == net->sigreturn && zeros &&
	    tracee_write(threads, net->place, zeros, net->size, err))
		return -1;
	return 0;
}

static bool is_area(const struct vma *v, uint64_t start, uint64_t end, int prot)
{
	return v->start == start && v->end == end && v->prot == prot && !v->inode && !v->shared;
}

/* The two areas that an agent makes. */
static bool are_areas(const struct vma *v, const struct vma_list *maps)
{
	uint64_t code_end = v->start + AGENT_CODE_SIZE, end = v->start + AGENT_SIZE;

	return is_area(v, v->start, code_end, PROT_READ | PROT_EXEC) &&
	       v + 1 != maps->vmas.items + maps->vmas.count &&
	       is_area(v + 1, code_end, end, PROT_READ | PROT_WRITE);
}

static bool has_code(const struct tracee *t, uint64_t address)
{
	const size_t size = arch_agent_end - arch_agent_begin;
	char code[AGENT_CODE_SIZE];

	return !tracee_peek(t, address, code, size) && !memcmp(code, arch_agent_begin, size);
}

static bool is_empty(const struct tracee *t, uint64_t address)
{
	char code[AGENT_CODE_SIZE];

	return !tracee_peek(t, address, code, sizeof(code)) && !code[0] &&
	       !memcmp(code, code + 1, sizeof(code) - 1);
}

/* Whether that is one beyond doubt. */
static bool is_agent(const struct vma *v, const struct tracee *t, const struct vma_list *maps)
{
	if (is_area(v, v->start, v->start + AGENT_SIZE, PROT_READ | PROT_WRITE))
		return has_code(t, v->start + AGENT_CODE_SIZE) && is_empty(t, v->start);
	return are_areas(v, maps) &&
	       (has_code(t, v->start) ||
		(has_code(t, v->start + AGENT_CODE_SIZE) && is_empty(t, v->start)));
}

uint64_t agent_find_left(const struct vma_list *maps, const struct tracee *t)
{
	const struct vma *v;

	array_for(v, &maps->vmas)
		if (is_agent(v, t, maps))
			return v->start;
	return 0;
}

/* Whether the area that is noted is there, perhaps not complete yet. */
static bool area_left(const struct agent_note *note, const struct tracee *t,
		      const struct vma_list *maps)
{
	const struct vma *v = note->address ? vma_list_find(maps, note->address) : NULL;

	return v && v->start == note->address &&
	       (is_area(v, v->start, v->start + AGENT_SIZE, PROT_READ | PROT_WRITE) ||
		(are_areas(v, maps) && (has_code(t, v->start) || is_empty(t, v->start))));
}

int agent_reclaim(struct agent_note *note, struct tracee *threads, size_t count,
		  const struct agent_site *site, uint64_t ignored, struct error *err)
{
	struct agent a = {
		.address = note->address,
		.stop_signal = note->stop_signal,
		.mapped = area_left(note, threads, site->maps),
	};

	if (wipe_net(note, threads, count, site->maps, err))
		return -1;
	/* The thread may have come through the agent's end, which gives the signal back. */
	a.disposition_changed = a.mapped && note->borrowed &&
				ignored >> (note->stop_signal - 1) & 1;
	memcpy(a.old_action, note->old_action, sizeof(a.old_action));
	if (a.mapped && (net_spread(&a, threads, site, err) || agent_remove(&a, threads, err))) {
		agent_release(&a);
		return -1;
	}
	note->net.place = note->address = 0;
	note->borrowed = false;
	return 0;
}
