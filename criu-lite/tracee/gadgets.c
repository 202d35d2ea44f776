/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding two instruction sequences in the code that a program has mapped anyway. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proc/maps.h"
#include "tracee/agent.h"
#include "tracee/internal.h"

enum {
	PAGE = 4096,
	SEARCH_CHUNK = 256 * 1024,
};

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

int gadgets_find(const struct tracee *t, const struct agent_site *site, uint64_t *ret_call,
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
