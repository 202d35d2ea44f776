/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where puppets keep what must not be in the way: the agent, and the vdso until it is put. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "kinds/maps.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "proc/maps.h"
#include "tracee/batch.h"

enum {
	HOLE_MARGIN = 64 * 1024,
	LOWEST_HOLE = 0x10000,	/* vm.mmap_min_addr of every distribution */
};

/* ---- the vdso ---- */

int memory_learn_parts(struct restore_memory *memory, struct error *err)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_vma_list_ struct vma_list maps = { 0 };
	const struct vma *v;
	uint64_t park = 0;

	if (proc_read_maps(self, &maps, err))
		return -1;
	array_for(v, &maps.vmas) {
		struct parked *part;

		if (!vma_is_special(v) || v->kind == VMA_VSYSCALL)
			continue;
		part = array_add(&memory->parts);
		if (!part)
			return error_set(err, ERROR_FAILED, ENOMEM, "vdso");
		*part = (struct parked){
			.special = v->kind == VMA_VDSO ? VMA__SPECIAL__VDSO :
				   v->kind == VMA_VVAR ? VMA__SPECIAL__VVAR :
							 VMA__SPECIAL__VVAR_VCLOCK,
			.start = v->start,
			.size = v->end - v->start,
			.park = park,
		};
		park += part->size;
		if (v->kind == VMA_VDSO)
			memory->vdso_hash = XXH3_64bits((void *)v->start, part->size);
	}
	if (park > MEMORY_PARK_SIZE)
		return error_set(err, ERROR_FAILED, 0, "a vdso of %llu bytes",
				 (unsigned long long)park);
	return 0;
}

static const struct parked *find_part(const struct restore_memory *memory, const Vma *v)
{
	const struct parked *part;

	array_for(part, &memory->parts)
		if (part->special == v->special && part->size == v->end - v->start)
			return part;
	return NULL;
}

int memory_check_special(const struct restore_memory *memory, const Maps *m, struct error *err)
{
	bool same = !m->has_vdso_hash || m->vdso_hash == memory->vdso_hash;
	size_t i;

	for (i = 0; i < m->n_vmas && same; i++)
		if (m->vmas[i]->has_special && !find_part(memory, m->vmas[i]))
			same = false;
	if (same)
		return 0;
	error_set(err, ERROR_BLOCKED, 0,
		  "process %u: the vdso of this kernel is not the one at the "
		  "checkpoint",
		  m->pid);
	return error_hint(err, "restore under the kernel of the checkpoint");
}

uint64_t memory_park_address(const struct restore_task *t, const struct parked *part)
{
	return t->restore->area + AGENT_SIZE + part->park;
}

int memory_put_special(struct restore_task *t, const Maps *m, struct batch *b, struct error *err)
{
	const struct restore_memory *memory = t->restore->memory;
	const struct parked *part;
	size_t i;

	for (i = 0; i < m->n_vmas; i++) {
		const Vma *v = m->vmas[i];

		if (v->has_special)
			batch_must(b, SYS_mremap, memory_park_address(t, find_part(memory, v)),
				   v->end - v->start, v->end - v->start,
				   MREMAP_MAYMOVE | MREMAP_FIXED, v->start);
	}
	/* What has moved away leaves a hole. */
	array_for(part, &memory->parts)
		batch_must(b, SYS_munmap, memory_park_address(t, part), part->size);
	return 0;
}

/* ---- a place for the agent ---- */

static int add_area(struct map_areas *list, uint64_t start, uint64_t end)
{
	struct map_area *a = array_add(&list->areas);

	if (!a)
		return -1;
	a->start = start;
	a->end = end;
	return 0;
}

/* This process's own map, of which every puppet is born. */
static int own_areas(struct map_areas *ret)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_vma_list_ struct vma_list maps = { 0 };
	struct error unread = ERROR_INIT;
	const struct vma *v;

	if (proc_read_maps(self, &maps, &unread)) {
		error_clear(&unread);
		return -1;
	}
	array_for(v, &maps.vmas)
		if (v->end <= arch_task_size() && add_area(ret, v->start, v->end))
			return -1;
	return 0;
}

static int special_areas(const struct restore_task *t, struct map_areas *ret)
{
	const Maps *m = (const Maps *)restore_task_state(t, &maps_kind);
	size_t i;

	for (i = 0; m && i < m->n_vmas; i++)
		if (m->vmas[i]->has_special &&
		    add_area(ret, m->vmas[i]->start, m->vmas[i]->end))
			return -1;
	return 0;
}

uint64_t memory_find_agent_hole(const struct restore *r)
{
	size_t count = r->tasks.count, lists = 1, i;
	struct map_areas *specials = calloc(count + 1, sizeof(*specials)), own = { 0 };
	const struct map_areas **maps = calloc(2 * count + 1, sizeof(*maps));
	bool failed = !specials || !maps || own_areas(&own);
	uint64_t at = 0;

	for (i = 0; i < count && !failed; i++) {
		const struct restore_task *t = r->tasks.items[i];

		failed = special_areas(t, &specials[i]);
		maps[lists++] = &specials[i];
		if (t->memory)
			maps[lists++] = &t->memory->areas;
	}
	if (!failed) {
		maps[0] = &own;
		at = map_find_hole(maps, lists, LOWEST_HOLE, AGENT_SIZE + MEMORY_PARK_SIZE,
				   HOLE_MARGIN, arch_task_size());
	}
	for (i = 0; specials && i < count; i++)
		map_areas_release(&specials[i]);
	free(specials);
	free(maps);
	map_areas_release(&own);
	return at;
}
