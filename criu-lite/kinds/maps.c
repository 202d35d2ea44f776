/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "base/cleanup.h"

enum { PAGE = 4096, SPECIAL_SIZE_MAX = 64 * 1024, VMAS_MAX = 1 << 22 };

static const struct {
	uint64_t vma;
	uint32_t area;
} flag_pairs[] = {
	{ VMA_MW, AREA_MAY_WRITE },	 { VMA_GD, AREA_GROWS_DOWN },
	{ VMA_AC, AREA_ACCOUNTED },	 { VMA_NR, AREA_NO_RESERVE },
	{ VMA_DP, AREA_DROPPABLE },	 { VMA_HG, AREA_HUGE },
	{ VMA_NH, AREA_NO_HUGE },	 { VMA_LO, AREA_LOCKED },
	{ VMA_LF, AREA_LOCK_ON_FAULT },	 { VMA_SR, AREA_SEQUENTIAL },
	{ VMA_RR, AREA_RANDOM },	 { VMA_DC, AREA_DONT_FORK },
	{ VMA_WF, AREA_WIPE_ON_FORK },	 { VMA_DD, AREA_DONT_DUMP },
	{ VMA_MG, AREA_MERGEABLE },	 { VMA_GU, AREA_HAS_GUARDS },
};

bool vma_is_special(const struct vma *vma)
{
	return vma->kind == VMA_VDSO || vma->kind == VMA_VVAR || vma->kind == VMA_VVAR_VCLOCK ||
	       vma->kind == VMA_VSYSCALL;
}

struct map_area area_of_vma(const struct vma *vma, uint32_t object)
{
	struct map_area a = {
		.start = vma->start,
		.end = vma->end,
		.offset = object ? vma->offset : 0,
		.object = object,
		.prot = vma->prot,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flag_pairs); i++)
		if (vma->flags & flag_pairs[i].vma)
			a.flags |= flag_pairs[i].area;
	if (vma->shared)
		a.flags |= AREA_SHARED;
	else if (vma->anon_huge)
		a.flags |= AREA_HAS_HUGE;
	return a;
}

static void area_message(Vma *m, const struct map_area *a, const struct vma *vma)
{
	m->start = a->start;
	m->end = a->end;
	m->prot = a->prot;
	m->has_flags = a->flags != 0;
	m->flags = a->flags;
	m->has_object = a->object != 0;
	m->object = a->object;
	m->has_offset = a->object != 0;
	m->offset = a->offset;
	if (vma->kind == VMA_ANON_NAMED || vma->kind == VMA_ANON_SHMEM)
		m->name = (char *)vma->path;
}

static void special_message(Vma *m, const struct vma *vma)
{
	m->start = vma->start;
	m->end = vma->end;
	m->prot = vma->prot;
	m->has_special = true;
	m->special = vma->kind == VMA_VDSO ? VMA__SPECIAL__VDSO :
		     vma->kind == VMA_VVAR ? VMA__SPECIAL__VVAR :
					     VMA__SPECIAL__VVAR_VCLOCK;
}

static int hash_vdso(const struct dump_task *task, const struct vma *vma, uint64_t *ret,
		     struct error *err)
{
	char bytes[SPECIAL_SIZE_MAX];
	size_t size = vma->end - vma->start;

	if (size > sizeof(bytes))
		return error_set(err, ERROR_TARGET, 0, "process %d: a vdso of %zu bytes",
				 task->pid, size);
	if (tracee_read(&task->threads.items[0].tracee, vma->start, bytes, size, err))
		return -1;
	*ret = XXH3_64bits(bytes, size);
	return 0;
}

int maps_write(struct dump_task *task, const struct map_areas *areas, uint32_t exe,
	       struct error *err)
{
	size_t count = task->maps.vmas.count, area = 0;
	_cleanup_free_ Vma *vmas = calloc(count + 1, sizeof(*vmas));
	_cleanup_free_ Vma **list = calloc(count + 1, sizeof(*list));
	const struct vma *vma;
	Maps m = MAPS__INIT;

	if (!vmas || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "maps");
	array_for(vma, &task->maps.vmas) {
		Vma *one = &vmas[m.n_vmas];

		if (vma->kind == VMA_VSYSCALL)
			continue;
		vma__init(one);
		if (vma_is_special(vma))
			special_message(one, vma);
		else
			area_message(one, &areas->areas.items[area++], vma);
		if (vma->kind == VMA_VDSO) {
			m.has_vdso_hash = true;
			if (hash_vdso(task, vma, &m.vdso_hash, err))
				return -1;
		}
		list[m.n_vmas++] = one;
	}
	m.pid = task->pid;
	m.vmas = list;
	m.has_exe = exe != 0;
	m.exe = exe;
	return stream_write(task->dump->out, maps_kind.record, RECORD_CRITICAL, &m.base, err);
}

static int bad_area(const Maps *m, const Vma *v, const char *what, struct error *err)
{
	return error_set(err, ERROR_IMAGE, 0, "process %u: area %llx-%llx: %s", m->pid,
			 (unsigned long long)v->start, (unsigned long long)v->end, what);
}

static int check_area(const Maps *m, const Vma *v, uint64_t after, uint32_t objects,
		      struct error *err)
{
	if (v->start >= v->end || v->start < after || v->end > arch_task_size() ||
	    v->start % PAGE || v->end % PAGE)
		return bad_area(m, v, "no addresses in order", err);
	if (v->prot & ~(unsigned)(PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    v->flags & ~(unsigned)AREA_FLAGS_KNOWN)
		return bad_area(m, v, "unknown flags", err);
	if (v->object > objects || v->offset % PAGE || v->offset > INT64_MAX - (v->end - v->start))
		return bad_area(m, v, "maps what is not there", err);
	if (!v->object && v->flags & AREA_SHARED)
		return bad_area(m, v, "shared, but of no object", err);
	if (v->has_special && (v->special < VMA__SPECIAL__VDSO ||
			       v->special > VMA__SPECIAL__VVAR_VCLOCK ||
			       v->end - v->start > SPECIAL_SIZE_MAX))
		return bad_area(m, v, "not known here", err);
	return 0;
}

int maps_areas(const Maps *m, uint32_t objects, struct map_areas *ret, struct error *err)
{
	uint64_t after = PAGE;
	size_t i;

	if (m->n_vmas > VMAS_MAX || (m->has_exe && (!m->exe || m->exe > objects)))
		return error_set(err, ERROR_IMAGE, 0, "process %u: impossible maps", m->pid);
	for (i = 0; i < m->n_vmas; i++) {
		const Vma *v = m->vmas[i];
		struct map_area *a;

		if (check_area(m, v, after, objects, err))
			return -1;
		after = v->end;
		if (v->has_special)
			continue;
		a = array_add(&ret->areas);
		if (!a)
			return error_set(err, ERROR_FAILED, ENOMEM, "maps");
		*a = (struct map_area){
			.start = v->start,
			.end = v->end,
			.offset = v->object ? v->offset : 0,
			.object = v->object,
			.flags = v->flags,
			.prot = v->prot,
		};
	}
	return 0;
}
