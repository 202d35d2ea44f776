/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_MAPS_H
#define CL_PROC_MAPS_H

#include <stdint.h>

#include "base/array.h"
#include "proc/text.h"

/*
 * /proc/PID/maps and /proc/PID/smaps, proc(5): the areas (VMAs) of an address space, in ascending
 * order and never overlapping. smaps adds counters and the VmFlags line, which exist nowhere
 * else; it walks the page tables (5-8 ms per GiB) where maps costs microseconds.
 */

/* What the last column says. */
enum vma_kind {
	VMA_ANON,		/* empty */
	VMA_FILE,		/* a path, or "anon_inode:[…]" and the like */
	VMA_HEAP, VMA_STACK, VMA_VDSO, VMA_VVAR, VMA_VVAR_VCLOCK, VMA_VSYSCALL, VMA_UPROBES,
	VMA_ANON_NAMED,		/* [anon:NAME], PR_SET_VMA_ANON_NAME; .path is NAME */
	VMA_ANON_SHMEM,		/* [anon_shmem:NAME], the same for shared anonymous memory */
	VMA_SPECIAL,		/* another name in brackets: .path is all of it */
};

/* VmFlags, smaps only (Documentation/filesystems/proc.rst lists the two letters). */
enum vma_flag {
	VMA_RD = 1ull << 0,	/* readable */
	VMA_WR = 1ull << 1,	/* writable */
	VMA_EX = 1ull << 2,	/* executable */
	VMA_SH = 1ull << 3,	/* shared */
	VMA_MR = 1ull << 4,	/* may be made readable */
	VMA_MW = 1ull << 5,	/* may be made writable */
	VMA_ME = 1ull << 6,	/* may be made executable */
	VMA_MS = 1ull << 7,	/* may be shared */
	VMA_GD = 1ull << 8,	/* grows down */
	VMA_PF = 1ull << 9,	/* pure page frame numbers: device memory */
	VMA_DW = 1ull << 10,	/* writes to the file denied (old kernels) */
	VMA_LO = 1ull << 11,	/* mlocked */
	VMA_IO = 1ull << 12,	/* memory mapped I/O */
	VMA_SR = 1ull << 13,	/* MADV_SEQUENTIAL */
	VMA_RR = 1ull << 14,	/* MADV_RANDOM */
	VMA_DC = 1ull << 15,	/* MADV_DONTFORK */
	VMA_DE = 1ull << 16,	/* cannot expand by mremap */
	VMA_LF = 1ull << 17,	/* MLOCK_ONFAULT */
	VMA_AC = 1ull << 18,	/* counted against the commit limit */
	VMA_NR = 1ull << 19,	/* MAP_NORESERVE */
	VMA_HT = 1ull << 20,	/* hugetlb */
	VMA_SF = 1ull << 21,	/* MAP_SYNC (DAX) */
	VMA_NL = 1ull << 22,	/* non-linear (old kernels) */
	VMA_AR = 1ull << 23,	/* architecture specific */
	VMA_WF = 1ull << 24,	/* MADV_WIPEONFORK */
	VMA_DD = 1ull << 25,	/* MADV_DONTDUMP */
	VMA_SD = 1ull << 26,	/* soft-dirty */
	VMA_MM = 1ull << 27,	/* mixed map: pages and page frame numbers */
	VMA_HG = 1ull << 28,	/* MADV_HUGEPAGE */
	VMA_NH = 1ull << 29,	/* MADV_NOHUGEPAGE */
	VMA_MG = 1ull << 30,	/* MADV_MERGEABLE */
	VMA_UM = 1ull << 31,	/* userfaultfd missing */
	VMA_UW = 1ull << 32,	/* userfaultfd write protect */
	VMA_UI = 1ull << 33,	/* userfaultfd minor */
	VMA_SS = 1ull << 34,	/* shadow stack */
	VMA_SL = 1ull << 35,	/* sealed, mseal(2) */
	VMA_DP = 1ull << 36,	/* MAP_DROPPABLE */
	VMA_MT = 1ull << 37,	/* arm64 memory tagging */
	VMA_BT = 1ull << 38,	/* arm64 branch target identification */
	VMA_MP = 1ull << 39,	/* x86 MPX (old kernels) */
	VMA_GU = 1ull << 40,	/* may hold guard regions (MADV_GUARD_INSTALL) */
	VMA_OTHER_FLAG = 1ull << 63,	/* one that this parser does not know */
};

struct vma {
	uint64_t start, end;		/* addresses; end is exclusive */
	uint64_t offset;		/* bytes into the file */
	uint64_t inode;			/* 0: no file */
	uint32_t dev_major, dev_minor;	/* of the superblock: st_dev may differ (btrfs) */
	int prot;			/* PROT_* */
	enum vma_kind kind;
	bool shared;			/* MAP_SHARED */
	bool deleted;			/* " (deleted)" followed the path, which has lost it; a file
					 * can bear such a name: /proc/PID/map_files knows */
	bool unescaped;			/* \012 was made a newline; a file can also bear a literal
					 * "\012", map_files knows */
	const char *path;		/* never NULL; owned by the list */

	/* smaps only, else 0 */
	uint64_t flags;			/* VMA_RD … */
	uint64_t page_size;		/* KernelPageSize, bytes */
	uint64_t rss, anon_huge, swap, locked;	/* bytes */
	int pkey;			/* protection key */
};

struct vma_list {
	ARRAY_OF(struct vma) vmas;
	struct string_arena names;
	bool has_smaps;
};

/* A process without an address space (zombie, kernel thread) has an empty list. The caller
 * releases *ret. */
int proc_parse_maps(const char *text, size_t size, struct vma_list *ret, struct error *err);
int proc_read_maps(int pid_dir, struct vma_list *ret, struct error *err);
int proc_parse_smaps(const char *text, size_t size, struct vma_list *ret, struct error *err);
int proc_read_smaps(int pid_dir, struct vma_list *ret, struct error *err);

/* The area that holds the address, or NULL. */
struct vma *vma_list_find(const struct vma_list *list, uint64_t address);
void vma_list_release(struct vma_list *list);
#define _cleanup_vma_list_ __attribute__((cleanup(vma_list_release)))

#endif
