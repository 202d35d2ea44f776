/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The areas of an address space. They are written and made early (kinds/memory_dump.c,
 * kinds/memory_maps.c); what would be in the way of filling and forking is put last: advice, locks
 * and the vdso.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/maps.h"
#include "kinds/memory.h"
#include "kinds/memory_internal.h"
#include "kinds/objects.h"
#include "tracee/batch.h"

/* uapi linux/prctl.h, linux/mman.h */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* ---- preflight ---- */

static const struct {
	uint64_t flag;
	const char *reason, *remedy;
} blocking_flags[] = {
	{ VMA_HT, "huge page memory (hugetlbfs) cannot be saved",
	  "let the program use transparent huge pages (madvise MADV_HUGEPAGE)" },
	{ VMA_SF, "synchronous mappings of persistent memory (MAP_SYNC) cannot be saved", NULL },
	{ VMA_UM | VMA_UW | VMA_UI, "memory under the program's own userfaultfd cannot be saved",
	  "end its use of userfaultfd first" },
	{ VMA_SS, "shadow stacks cannot be saved",
	  "start the program with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK" },
	{ VMA_SL, "sealed memory (mseal) could not be made again", NULL },
	{ VMA_MT, "tagged memory cannot be saved", NULL },
	{ VMA_PF | VMA_IO, "the memory of a device cannot be saved", NULL },
};

static int block(const struct task_look *look, const struct vma *vma, const char *reason,
		 const char *remedy, struct blockers *blockers, struct error *err)
{
	if (blockers_add(blockers, look->pid, reason, remedy, "memory %lx-%lx%s%s",
			 (unsigned long)vma->start, (unsigned long)vma->end,
			 vma->path[0] ? " " : "", vma->path))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int check_object(const struct task_look *look, const struct vma *vma,
			struct blockers *blockers, struct error *err)
{
	struct object_look object;

	if (object_look_vma(&object, look->pid, look->proc_fd, vma)) {
		/* Unmapped since; what is there in the freeze is looked at again. */
		if (errno == ENOENT || errno == ESRCH)
			return 0;
		return error_set(err, ERROR_TARGET, errno, "process %d: cannot look at %s",
				 look->pid, vma->path);
	}
	return objects_check(&object, blockers, err);
}

static bool same_file(const struct vma *a, const struct vma *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor && a->deleted == b->deleted &&
	       !strcmp(a->path, b->path);
}

/*
 * Whether the file was looked at just before: the areas of a file lie next to each other, and a
 * process that was forked has those of its parent at the same addresses.
 */
static bool looked_at(const struct task_look *look, const struct vma *vma)
{
	const struct vma *other;

	if (vma > look->maps->vmas.items && same_file(vma, vma - 1))
		return true;
	other = look->before ? vma_list_find(look->before->maps, vma->start) : NULL;
	return other && same_file(vma, other);
}

static int check_vma(const struct task_look *look, const struct vma *vma,
		     struct blockers *blockers, struct error *err)
{
	size_t i;

	if (vma->kind == VMA_UPROBES)
		return block(look, vma, "user space probes are set in the program",
			     "remove them (perf probe, bpftrace)", blockers, err);
	if (vma_is_special(vma))
		return 0;
	if (vma->kind == VMA_SPECIAL)
		return block(look, vma, "this kind of memory is not known", NULL, blockers, err);
	for (i = 0; i < ARRAY_SIZE(blocking_flags); i++)
		if (vma->flags & blocking_flags[i].flag)
			return block(look, vma, blocking_flags[i].reason,
				     blocking_flags[i].remedy, blockers, err);
	/* An execute-only area has a key that the kernel chose by itself. */
	if (vma->pkey && vma->prot != PROT_EXEC)
		return block(look, vma, "memory with a protection key cannot be saved", NULL,
			     blockers, err);
	/* Once something is in the way, it is named wherever it is met. */
	if (!vma->inode || (!blockers->list.count && looked_at(look, vma)))
		return 0;
	return check_object(look, vma, blockers, err);
}

/* The class byte of the ELF header; not read where there are addresses that only 64 bits have. */
static bool is_32bit(const struct task_look *look)
{
	_cleanup_fd_ int fd = -1;
	const struct vma *v;
	char head[5];

	array_for(v, &look->maps->vmas)
		if (v->end > UINT32_MAX && v->kind != VMA_VSYSCALL)
			return false;
	fd = openat(look->proc_fd, "exe", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) &&
	       !memcmp(head, "\177ELF", 4) && head[4] == 1;
}

static int maps_check(const struct task_look *look, struct blockers *blockers, struct error *err)
{
	const struct vma *vma;

	if (is_32bit(look) &&
	    blockers_add(blockers, look->pid, "32-bit programs cannot be saved", NULL, "program"))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	array_for(vma, &look->maps->vmas)
		if (check_vma(look, vma, blockers, err))
			return -1;
	return 0;
}

/* ---- restore ---- */

/* Makes room in the batch by running what is in it. */
static int make_room(struct restore_task *t, struct batch *b, size_t records, size_t data,
		     struct error *err)
{
	if (batch_has_room(b, records, data))
		return 0;
	if (restore_run(t, b, err))
		return -1;
	batch_start(b, &t->agent);
	return 0;
}

static const struct {
	uint32_t flag;
	int advice;
} advice[] = {
	{ AREA_HUGE, MADV_HUGEPAGE },		{ AREA_NO_HUGE, MADV_NOHUGEPAGE },
	{ AREA_SEQUENTIAL, MADV_SEQUENTIAL },	{ AREA_RANDOM, MADV_RANDOM },
	{ AREA_DONT_FORK, MADV_DONTFORK },	{ AREA_WIPE_ON_FORK, MADV_WIPEONFORK },
	{ AREA_DONT_DUMP, MADV_DONTDUMP },	{ AREA_MERGEABLE, MADV_MERGEABLE },
};

static int put_area(struct restore_task *t, const Vma *v, struct batch *b, struct error *err)
{
	uint64_t size = v->end - v->start;
	uint32_t flags = v->flags;
	size_t i;

	/* Those are what MAP_DROPPABLE means. */
	if (flags & AREA_DROPPABLE)
		flags &= ~(AREA_WIPE_ON_FORK | AREA_DONT_DUMP);
	if (make_room(t, b, ARRAY_SIZE(advice) + 2, v->name ? strlen(v->name) + 32 : 0, err))
		return -1;
	/* A kernel may lack names for anonymous memory. */
	if (v->name)
		batch_call(b, SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, v->start, size,
			   batch_string(b, v->name));
	for (i = 0; i < ARRAY_SIZE(advice); i++)
		if (flags & advice[i].flag)
			batch_must(b, SYS_madvise, v->start, size, advice[i].advice);
	/* What cannot be read is locked all the same, but cannot be populated: ENOMEM. */
	if (flags & AREA_LOCKED)
		batch_add(b, v->prot & PROT_READ ? BATCH_MUST : 0, SYS_mlock2,
			  (const uint64_t[6]){ v->start, size,
					       flags & AREA_LOCK_ON_FAULT ? MLOCK_ONFAULT : 0 });
	return 0;
}

static int maps_put(struct restore_thread *thread, const ProtobufCMessage *message, struct batch *b,
		    struct error *err)
{
	const Maps *m = (const Maps *)message;
	size_t i;

	if (memory_put_special(thread->task, m, b, err))
		return -1;
	for (i = 0; i < m->n_vmas; i++)
		if (!m->vmas[i]->has_special &&
		    (m->vmas[i]->name || m->vmas[i]->flags >= AREA_HUGE) &&
		    put_area(thread->task, m->vmas[i], b, err))
			return -1;
	return 0;
}

static const struct state_ops maps_state = {
	.check = maps_check,
	.put = maps_put,
};

const struct kind maps_kind = {
	.name = "maps",
	.record = 0x38,
	.scope = KIND_TASK,
	.message = &maps__descriptor,
	.help = "areas of the address space with protection, advice, locks; vdso",
	.state = &maps_state,
};
