/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bringing the agent in and out. The calls for that are made with hijacked registers before there
 * is an agent, so they get a safety net: a `syscall; ret` of the program's own code, with a stack of
 * {rt_sigreturn trampoline, signal frame}. Run untraced, the call is made and the program goes on
 * with its own registers.
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
	PAGE = 4096,
	HOLE_MARGIN = 64 * 1024,	/* kept free on both sides, so that nothing merges */
	LOWEST_HOLE = 0x10000,		/* vm.mmap_min_addr of every distribution */
	SEARCH_CHUNK = 128 * 1024,
	STACK_BOTTOM_ROOM = 32 * 1024,	/* below a net at the bottom of the stack */
	STACK_UNUSED_MIN = 96 * 1024,
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

void gadget_cache_release(struct gadget_cache *cache)
{
	array_release(&cache->places);
}

/* Reads the code of one mapping until both sequences are found. */
static void search_code(const struct tracee *t, const struct vma *v, struct gadget_place *place)
{
	char *chunk = malloc(SEARCH_CHUNK);
	uint64_t at;

	for (at = v->start; chunk && at < v->end; at += SEARCH_CHUNK - PAGE) {
		size_t size = v->end - at < SEARCH_CHUNK ? v->end - at : SEARCH_CHUNK;
		ssize_t found;

		if (tracee_peek(t, at, chunk, size))
			break;
		if (place->call < 0 && (found = arch_find_call(chunk, size)) >= 0)
			place->call = at - v->start + found;
		if (place->sigreturn < 0 && (found = arch_find_sigreturn(chunk, size)) >= 0)
			place->sigreturn = at - v->start + found;
		if ((place->call >= 0 && place->sigreturn >= 0) || size < SEARCH_CHUNK)
			break;
	}
	free(chunk);
}

static struct gadget_place *place_of(struct gadget_cache *cache, const struct tracee *t,
				     const struct vma *v)
{
	uint64_t device = (uint64_t)v->dev_major << 32 | v->dev_minor;
	struct gadget_place *place;

	array_for(place, &cache->places)
		if (v->inode && place->device == device && place->inode == v->inode &&
		    place->offset == v->offset)
			return place;
	place = array_add(&cache->places);
	if (!place)
		return NULL;
	*place = (struct gadget_place){ device, v->inode, v->offset, -1, -1 };
	search_code(t, v, place);
	return place;
}

/* The kernel's own page and the C library have both; looking there first spares reading megabytes
 * of program. */
static bool is_likely(const struct vma *v)
{
	const char *name = strrchr(v->path, '/');

	return v->kind == VMA_VDSO || (name && !strncmp(name, "/libc", 5)) ||
	       (name && !strncmp(name, "/ld-", 4));
}

static void search_areas(const struct tracee *t, const struct agent_site *site, bool likely,
			 uint64_t *call, uint64_t *sigreturn)
{
	const struct vma *v;

	array_for(v, &site->maps->vmas) {
		struct gadget_place *place;

		if (*call && *sigreturn)
			return;
		if (!(v->prot & PROT_EXEC) || !(v->prot & PROT_READ) || v->kind == VMA_VSYSCALL ||
		    is_likely(v) != likely)
			continue;
		place = place_of(site->gadgets, t, v);
		if (!place)
			return;
		if (!*call && place->call >= 0)
			*call = v->start + place->call;
		if (!*sigreturn && place->sigreturn >= 0)
			*sigreturn = v->start + place->sigreturn;
	}
}

static int find_gadgets(const struct tracee *t, const struct agent_site *site, uint64_t *ret_call,
			uint64_t *ret_sigreturn, struct error *err)
{
	*ret_call = *ret_sigreturn = 0;
	search_areas(t, site, true, ret_call, ret_sigreturn);
	search_areas(t, site, false, ret_call, ret_sigreturn);
	if (*ret_call && *ret_sigreturn)
		return 0;
	error_set(err, ERROR_BLOCKED, 0, "process %d: its code has no signal return trampoline",
		  t->tgid);
	return error_hint(err, "a program without a C library cannot be stopped safely");
}

static bool all_zero(const unsigned char *bytes, size_t size)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

/*
 * Where the net can lie: the never used bottom of the main stack, if there is one (a program with
 * stacks of its own, such as goroutines, may have live data below its stack pointer), else below
 * the red zone, where the kernel itself would put a signal frame.
 */
static uint64_t net_place(const struct tracee *t, const struct vma_list *maps, size_t size)
{
	uint64_t sp = arch_sp(&t->saved);
	const struct vma *v;
	void *bytes = malloc(size);
	uint64_t place = 0;

	array_for(v, &maps->vmas) {
		uint64_t bottom = v->start + STACK_BOTTOM_ROOM;

		if (v->kind != VMA_STACK || v->end - v->start < STACK_UNUSED_MIN)
			continue;
		if (sp >= v->start && sp < bottom + size + PAGE)
			break;
		if (bytes && !tracee_peek(t, bottom, bytes, size) && all_zero(bytes, size))
			place = bottom;
		break;
	}
	free(bytes);
	return place ? place : (sp - ARCH_RED_ZONE - size) & ~63ull;
}

static int spread_net(struct agent *a, struct tracee *t, const struct agent_site *site,
		      struct error *err)
{
	size_t frame = arch_frame_build(NULL, 0, &t->saved, t->xstate, t->xstate_size, 0);
	size_t size = frame + sizeof(uint64_t);
	uint64_t sigreturn;
	char *net;
	int r;

	if (find_gadgets(t, site, &a->gadget, &sigreturn, err))
		return -1;
	a->net_size = size;
	a->net = net_place(t, site->maps, size);
	a->net_saved = malloc(size);
	net = calloc(1, size);
	if (!net || !a->net_saved) {
		free(net);
		return error_set(err, ERROR_FAILED, ENOMEM, "task %d: safety net", t->tid);
	}
	memcpy(net, &sigreturn, sizeof(sigreturn));
	arch_frame_build(net + sizeof(sigreturn), a->net + sizeof(sigreturn), &t->saved, t->xstate,
			 t->xstate_size, t->sigmask);
	r = tracee_read(t, a->net, a->net_saved, size, err) || tracee_write(t, a->net, net, size, err);
	free(net);
	if (r)
		error_hint(err, "its stack has no room for a signal frame");
	return r ? -1 : 0;
}

/* One system call over the net; the result is negative on failure, as in the kernel. */
static int call_over_net(struct agent *a, struct tracee *t, int64_t *ret, struct error *err,
			 long number, const uint64_t args[6])
{
	struct arch_regs regs = t->saved;

	arch_call_regs(&regs, a->gadget, a->net, number, args);
	if (tracee_set_regs(t, &regs, err))
		return -1;
	t->hijacked = true;
	if (tracee_set_sigmask(t, ~0ull, err) || tracee_to_syscall(t, err) ||
	    tracee_to_syscall(t, err) || tracee_get_regs(t, &regs, err))
		return -1;
	*ret = arch_call_result(&regs);
	return 0;
}
#define net_call(a, t, ret, err, nr, ...) \
	call_over_net(a, t, ret, err, nr, (const uint64_t[6]){ __VA_ARGS__ })

/* A signal whose default is to be ignored, and which the program leaves at that, needs no change
 * of its disposition. SIGCONT would wake a stopped program. */
int agent_plan(struct agent *a, const struct agent_site *site, struct error *err)
{
	static const int candidates[] = { SIGURG, SIGWINCH, SIGCHLD, SIGCONT };
	uint64_t taken = site->caught | site->pending;
	size_t i;
	int signal;

	*a = (struct agent){ 0 };
	a->address = agent_find_hole(site->maps, 0, AGENT_SIZE);
	if (!a->address)
		return error_set(err, ERROR_TARGET, 0, "no free address range of %d KiB",
				 AGENT_SIZE / 1024);
	for (i = 0; i < ARRAY_SIZE(candidates); i++) {
		if (taken >> (candidates[i] - 1) & 1 ||
		    (site->stopped && candidates[i] == SIGCONT))
			continue;
		a->stop_signal = candidates[i];
		return 0;
	}
	for (signal = 64; signal > 34; signal--) {
		if (site->pending >> (signal - 1) & 1)
			continue;
		a->stop_signal = signal;
		a->disposition_changed = true;
		return 0;
	}
	return error_set(err, ERROR_TARGET, 0, "every real-time signal is pending");
}

/* Gives the stop signal the disposition "ignore"; the old one lies in the data area meanwhile. */
static int ignore_stop_signal(struct agent *a, struct tracee *t, struct error *err)
{
	struct kernel_action ignore = { .handler = (uint64_t)SIG_IGN };
	uint64_t action = agent_data_address(a), old = action + sizeof(ignore);
	int64_t result;

	if (tracee_write(t, action, &ignore, sizeof(ignore), err) ||
	    net_call(a, t, &result, err, SYS_rt_sigaction, a->stop_signal, action, old, 8) ||
	    tracee_read(t, old, a->old_action, sizeof(a->old_action), err))
		return -1;
	return 0;
}

static int restore_stop_signal(struct agent *a, struct tracee *t, struct error *err)
{
	uint64_t action = agent_data_address(a);
	int64_t result;

	if (tracee_write(t, action, a->old_action, sizeof(a->old_action), err) ||
	    net_call(a, t, &result, err, SYS_rt_sigaction, a->stop_signal, action, 0, 8))
		return -1;
	return 0;
}

int agent_install(struct agent *a, struct tracee *t, const struct agent_site *site,
		  struct error *err)
{
	const int map_flags = MAP_PRIVATE | MAP_ANONYMOUS;
	int64_t area = -1, code = -1;

	_Static_assert(sizeof(struct kernel_action) == sizeof(a->old_action), "kernel sigaction");
	if (spread_net(a, t, site, err))
		return -1;
	if (net_call(a, t, &area, err, SYS_mmap, a->address, AGENT_SIZE, PROT_READ | PROT_WRITE,
		     map_flags | MAP_FIXED_NOREPLACE, -1, 0))
		return -1;
	if (area == (int64_t)a->address &&
	    net_call(a, t, &code, err, SYS_mmap, a->address, AGENT_CODE_SIZE,
		     PROT_READ | PROT_EXEC, map_flags | MAP_FIXED, -1, 0))
		return -1;
	if (area != (int64_t)a->address || code != area)
		return error_set(err, ERROR_TARGET, area < 0 ? -area : -code,
				 "process %d: cannot map %d KiB in it", t->tgid, AGENT_SIZE / 1024);
	if (tracee_poke(t, a->address, arch_agent_begin, arch_agent_end - arch_agent_begin, err))
		return -1;
	if (a->disposition_changed && ignore_stop_signal(a, t, err))
		return -1;
	return tracee_restore(t, err);
}

int agent_call_once(struct tracee *t, const struct agent_site *site, int64_t *ret,
		    struct error *err, long number, const uint64_t args[6])
{
	struct agent a = { 0 };
	int r = spread_net(&a, t, site, err) || call_over_net(&a, t, ret, err, number, args) ||
				tracee_restore(t, err) ||
				tracee_write(t, a.net, a.net_saved, a.net_size, err) ?
			-1 :
			0;

	agent_release(&a);
	return r;
}

int agent_remove(struct agent *a, struct tracee *t, struct error *err)
{
	int64_t result;

	if (!a->address)
		return 0;
	if (a->disposition_changed && restore_stop_signal(a, t, err))
		return -1;
	if (net_call(a, t, &result, err, SYS_munmap, a->address, AGENT_SIZE) ||
	    tracee_restore(t, err) || tracee_write(t, a->net, a->net_saved, a->net_size, err))
		return -1;
	agent_release(a);
	return 0;
}
