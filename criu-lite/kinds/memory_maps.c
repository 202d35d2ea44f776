/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turning the map that a puppet was born with into the saved one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/sysv_shm.pb-c.h"
#include "kinds/maps.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"
#include "tracee/batch.h"

extern const struct kind sysv_shm_kind;

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

enum {
	PAGE = 4096,
	FDS_AT_ONCE = 253,
	HOLE_MARGIN = 64 * 1024,
	LOWEST_HOLE = 0x10000,	/* vm.mmap_min_addr of every distribution */
};

/* A descriptor that the puppet needs for mapping. */
struct needed {
	uint32_t object;
	bool writable;
	int fd, number;		/* ours, the puppet's */
};

/* A segment that is attached where there is room for it, until all its parts are in their places.
 * What one shmat(2) has attached, one shmdt(2) detaches, though protections or holes divide it. */
struct attachment {
	const struct restore_object *o;	/* NULL when there is none */
	uint64_t home, at, size;	/* where it belongs, where it is */
	bool writable;
};

struct edit {
	struct restore_task *t;
	struct attachment attached;
	const struct map_areas *have, *want;
	struct map_ops ops;
	ARRAY_OF(struct needed) fds;
	size_t exe;		/* index in .fds, when the exe link changes */
	struct batch b;
};

enum { NO_EXE = -1ul };

static int run(struct edit *e, struct error *err)
{
	if (!e->b.records.count)
		return 0;
	if (restore_run(e->t, &e->b, err))
		return -1;
	batch_start(&e->b, &e->t->agent);
	return 0;
}

static int room(struct edit *e, size_t records, struct error *err)
{
	return batch_has_room(&e->b, records, 512) ? 0 : run(e, err);
}

/* The object that this area is attached to by shmat(2), or NULL. */
static const struct restore_object *sysv_object(const struct edit *e, const struct map_area *a)
{
	const struct restore_object *o = a->object ? restore_objects_get(e->t->restore->objects,
									 a->object) : NULL;

	return o && o->kind == &sysv_shm_kind ? o : NULL;
}

/* Shared memory that could be made writable was opened for writing. */
static bool needs_write(const struct map_area *a)
{
	return (a->flags & (AREA_SHARED | AREA_MAY_WRITE)) == (AREA_SHARED | AREA_MAY_WRITE);
}

static struct needed *find_needed(struct edit *e, uint32_t object, bool writable)
{
	struct needed *n;

	array_for(n, &e->fds)
		if (n->object == object && n->writable == writable)
			return n;
	return NULL;
}

static int need(struct edit *e, uint32_t object, bool writable, struct error *err)
{
	struct restore_objects *objects = e->t->restore->objects;
	struct restore_object *o = restore_objects_get(objects, object);
	struct needed *n;

	if (find_needed(e, object, writable))
		return 0;
	if (!o)
		return error_set(err, ERROR_IMAGE, 0, "object %u is not there", object);
	n = array_add(&e->fds);
	if (!n)
		return error_set(err, ERROR_FAILED, ENOMEM, "maps");
	*n = (struct needed){ .object = object, .writable = writable, .number = -1 };
	/* While the program runs on, its files change. */
	if ((!e->t->restore->in_rounds || e->t->restore->last_round) &&
	    restore_object_check(o, writable ? O_RDWR : O_RDONLY, err))
		return -1;
	n->fd = restore_object_map_fd(objects, o, writable, err);
	return n->fd < 0 ? -1 : 0;
}

/* Collects the descriptors for all areas to map, and for the exe link when it changes. */
static int collect(struct edit *e, uint32_t exe_now, struct error *err)
{
	const struct map_op *op;

	e->exe = NO_EXE;
	if (e->t->memory->exe && e->t->memory->exe != exe_now) {
		if (need(e, e->t->memory->exe, false, err))
			return -1;
		e->exe = 0;
	}
	array_for(op, &e->ops.ops) {
		const struct map_area *a = &e->want->areas.items[op->area];

		if (op->kind == MAP_OP_MAP && a->object && !sysv_object(e, a) &&
		    need(e, a->object, needs_write(a), err))
			return -1;
	}
	return 0;
}

/* Hands the descriptors over. What is in the batch already runs with it. */
static int receive(struct edit *e, struct error *err)
{
	size_t done = 0, i;

	while (done < e->fds.count) {
		int fds[FDS_AT_ONCE], count = 0;
		struct hand_over hand;

		while (count < FDS_AT_ONCE && done + count < e->fds.count) {
			fds[count] = e->fds.items[done + count].fd;
			count++;
		}
		if ((!batch_has_room(&e->b, 1, 8192) && run(e, err)) ||
		    puppet_send_fds(e->t, fds, count, &e->b, &hand, err) ||
		    restore_run(e->t, &e->b, err))
			return -1;
		for (i = 0; i < (size_t)count; i++)
			e->fds.items[done + i].number = puppet_received(&e->b, &hand, i);
		batch_start(&e->b, &e->t->agent);
		done += count;
	}
	return 0;
}

/* Everything that the root has from us goes; its vdso is parked behind the agent. */
static void empty_root(struct edit *e)
{
	const struct restore *r = e->t->restore;
	const struct parked *part;
	uint64_t begin = r->area, end = begin + AGENT_SIZE, parked = end;

	array_for(part, &r->memory->parts) {
		batch_must(&e->b, SYS_mremap, part->start, part->size, part->size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, memory_park_address(e->t, part));
		parked = memory_park_address(e->t, part) + part->size;
	}
	batch_must(&e->b, SYS_munmap, 0, begin);
	batch_must(&e->b, SYS_munmap, parked, arch_task_size() - parked);
}

static int unmap(struct edit *e, struct error *err)
{
	const struct map_op *op;

	array_for(op, &e->ops.ops) {
		if (op->kind != MAP_OP_UNMAP)
			continue;
		if (room(e, 1, err))
			return -1;
		batch_must(&e->b, SYS_munmap, op->start, op->end - op->start);
	}
	return 0;
}

/*
 * The exe link changes while nothing of the old program is mapped (EBUSY) and before the new one
 * is. The other values only have to be possible; the row "mm" sets them.
 */
static void set_exe(struct edit *e)
{
	struct prctl_mm_map map = {
		.start_code = 0x10000, .end_code = 0x11000, .start_data = 0x11000,
		.end_data = 0x12000, .start_brk = 0x12000, .brk = 0x12000, .start_stack = 0x13000,
		.arg_start = 0x13000, .arg_end = 0x13000, .env_start = 0x13000,
		.env_end = 0x13000, .exe_fd = e->fds.items[e->exe].number,
	};

	batch_must(&e->b, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, batch_put(&e->b, &map, sizeof(map)),
		   sizeof(map));
}

static int map_flags(const struct map_area *a)
{
	int flags = MAP_FIXED_NOREPLACE;

	flags |= a->flags & AREA_SHARED	   ? MAP_SHARED :
		 a->flags & AREA_DROPPABLE ? MAP_DROPPABLE :
					     MAP_PRIVATE;
	if (!a->object)
		flags |= MAP_ANONYMOUS;
	if (a->flags & AREA_GROWS_DOWN)
		flags |= MAP_GROWSDOWN;
	if (a->flags & AREA_NO_RESERVE)
		flags |= MAP_NORESERVE;
	return flags;
}

static void protect(struct edit *e, const struct map_op *op, bool account)
{
	const struct map_area *a = &e->want->areas.items[op->area];
	uint64_t size = op->end - op->start;

	if (account)
		batch_must(&e->b, SYS_mprotect, op->start, size, a->prot | PROT_WRITE);
	batch_must(&e->b, SYS_mprotect, op->start, size, a->prot);
}

static void drop_attachment(struct edit *e)
{
	if (e->attached.o)
		batch_must(&e->b, SYS_munmap, e->attached.at, e->attached.size);
	e->attached = (struct attachment){ 0 };
}

/* A segment is attached whole somewhere, and the wanted parts moved into place. */
static int attach_whole(struct edit *e, const struct attachment *wanted, bool exec,
			struct error *err)
{
	uint64_t area = e->t->restore->area;
	struct map_area agent = { .start = area, .end = area + AGENT_SIZE + MEMORY_PARK_SIZE };
	struct map_areas ours = { .areas = { &agent, 1, 1 } };
	const struct map_areas *maps[] = { &ours, e->have, e->want };

	drop_attachment(e);
	e->attached = *wanted;
	e->attached.at = map_find_hole(maps, ARRAY_SIZE(maps), LOWEST_HOLE, wanted->size,
				       HOLE_MARGIN, arch_task_size());
	if (!e->attached.at)
		return error_set(err, ERROR_FAILED, 0, "no room for a segment of %llu bytes",
				 (unsigned long long)wanted->size);
	batch_must(&e->b, SYS_shmat, ((const SysvShm *)wanted->o->message)->shmid, e->attached.at,
		   (wanted->writable ? 0 : SHM_RDONLY) | (exec ? SHM_EXEC : 0));
	return 0;
}

static int attach(struct edit *e, const struct map_op *op, const struct restore_object *o,
		  struct error *err)
{
	const struct map_area *a = &e->want->areas.items[op->area];
	uint64_t size = op->end - op->start, offset = a->offset + op->start - a->start;
	struct attachment wanted = {
		.o = o,
		.home = op->start - offset,
		.size = (o->size + PAGE - 1) & ~(uint64_t)(PAGE - 1),
		.writable = a->flags & AREA_MAY_WRITE,
	};
	bool exec = a->prot & PROT_EXEC;
	int prot = PROT_READ | (wanted.writable ? PROT_WRITE : 0) | (exec ? PROT_EXEC : 0);

	if (offset > wanted.size || size > wanted.size - offset)
		return error_set(err, ERROR_IMAGE, 0, "area %llx is longer than its segment",
				 (unsigned long long)a->start);
	if ((e->attached.o != o || e->attached.home != wanted.home || exec ||
	     e->attached.writable != wanted.writable) &&
	    attach_whole(e, &wanted, exec, err))
		return -1;
	batch_must(&e->b, SYS_mremap, e->attached.at + offset, size, size,
		   MREMAP_MAYMOVE | MREMAP_FIXED, op->start);
	if (exec)
		drop_attachment(e);
	if (prot != a->prot)
		protect(e, op, false);
	return 0;
}

static int map(struct edit *e, const struct map_op *op, struct error *err)
{
	const struct map_area *a = &e->want->areas.items[op->area];
	const struct restore_object *segment = sysv_object(e, a);
	uint64_t size = op->end - op->start, offset = 0;
	/* A private area is accounted when it is writable at first. */
	bool account = (a->flags & (AREA_ACCOUNTED | AREA_SHARED)) == AREA_ACCOUNTED &&
		       !(a->prot & PROT_WRITE);
	int fd = -1;

	if (room(e, 8, err))
		return -1;
	if (segment)
		return attach(e, op, segment, err);
	if (a->object) {
		fd = find_needed(e, a->object, needs_write(a))->number;
		offset = a->offset + op->start - a->start;
	}
	batch_must(&e->b, SYS_mmap, op->start, size, a->prot | (account ? PROT_WRITE : 0),
		   map_flags(a), fd, offset);
	if (account) {
		/* Anonymous memory that was never written to would not stay accounted. */
		if (!a->object) {
			batch_call(&e->b, SYS_madvise, op->start, PAGE, MADV_POPULATE_WRITE);
			batch_call(&e->b, SYS_madvise, op->start, PAGE, MADV_DONTNEED);
		}
		protect(e, op, false);
	}
	/* Before the first page is touched: where huge pages were, huge pages shall be. */
	if ((a->flags & (AREA_HUGE | AREA_HAS_HUGE)) == (AREA_HUGE | AREA_HAS_HUGE))
		batch_must(&e->b, SYS_madvise, op->start, size, MADV_HUGEPAGE);
	return 0;
}

static int map_all(struct edit *e, struct error *err)
{
	const struct map_op *op;
	struct needed *n;

	array_for(op, &e->ops.ops) {
		if (op->kind == MAP_OP_MAP && map(e, op, err))
			return -1;
		if (op->kind == MAP_OP_PROTECT) {
			if (room(e, 2, err))
				return -1;
			protect(e, op, op->account);
		}
	}
	if (room(e, 1, err))
		return -1;
	drop_attachment(e);
	array_for(n, &e->fds) {
		if (room(e, 1, err))
			return -1;
		batch_must(&e->b, SYS_close, n->number);
	}
	return run(e, err);
}

static int edit(struct edit *e, uint32_t exe_now, struct error *err)
{
	if (map_edit(e->have, e->want, &e->ops))
		return error_set(err, ERROR_FAILED, ENOMEM, "maps");
	batch_start(&e->b, &e->t->agent);
	if (!e->t->birth && !e->t->memory->kept)
		empty_root(e);
	if (collect(e, exe_now, err) || unmap(e, err) || receive(e, err))
		return -1;
	if (e->exe != NO_EXE)
		set_exe(e);
	return map_all(e, err);
}

/* Whose map a puppet was born with. */
static const struct task_memory *born_with(const struct restore_task *t)
{
	const struct restore_task *from = t->birth;

	while (from && !(from->memory && from->memory->made))
		from = from->birth;
	return from ? from->memory : NULL;
}

int memory_restore_maps(struct restore_task *t, struct error *err)
{
	const struct task_memory *from = born_with(t);
	const struct map_areas nothing = { 0 };
	struct edit e = { .t = t, .have = from ? &from->areas : &nothing };
	uint32_t exe = from ? from->exe : 0;
	int r;

	if (!t->memory)
		return t->birth || t->kept ? 0 : error_set(err, ERROR_IMAGE, 0,
							   "the root has no maps");
	e.want = &t->memory->areas;
	if (t->memory->kept) {
		e.have = &t->memory->had;
		exe = t->memory->had_exe;
	}
	r = edit(&e, exe, err);
	batch_release(&e.b);
	map_ops_release(&e.ops);
	array_release(&e.fds);
	if (r)
		return error_wrap(err, "process %d: memory map", t->pid);
	t->memory->made = true;
	map_areas_release(&t->memory->had);
	if (!t->memory->exe)
		t->memory->exe = exe;
	return 0;
}
