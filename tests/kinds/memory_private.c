/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private anonymous memory keeps content, protection, advice, locks, holes and growing stacks. */
#include <sys/mman.h>

#include "testing.h"

enum { PAGE = 4096 };

/* One mapping, and what is done to it. */
struct area {
	const char *name;
	size_t pages;
	size_t step;	/* every step-th page is written; 0: none */
	int prot;	/* in the end */
	int flags;	/* for mmap, besides MAP_PRIVATE | MAP_ANONYMOUS */
	int advice;	/* for madvise */
	int lock;	/* 1 mlock, 2 mlock2(MLOCK_ONFAULT) */
};

#define RW (PROT_READ | PROT_WRITE)
static const struct area areas[] = {
	{ "plain", 300, 1, RW, 0, 0, 0 },
	{ "sparse", 100000, 997, RW, MAP_NORESERVE, 0, 0 },
	{ "untouched", 1000, 0, RW, 0, 0, 0 },
	{ "large", 20000, 1, RW, 0, 0, 0 },
	{ "read-only", 10, 1, PROT_READ, 0, 0, 0 },
	{ "execute", 10, 1, PROT_READ | PROT_EXEC, 0, 0, 0 },
	{ "execute-only", 10, 1, PROT_EXEC, 0, 0, 0 },
	{ "all", 10, 3, RW | PROT_EXEC, 0, 0, 0 },
	{ "none", 10, 1, PROT_NONE, 0, 0, 0 },
	{ "none-empty", 5000, 0, PROT_NONE, MAP_NORESERVE, 0, 0 },
	{ "noreserve", 10, 2, RW, MAP_NORESERVE, 0, 0 },
	{ "grows-down", 10, 1, RW, MAP_GROWSDOWN, 0, 0 },
	{ "stack-flag", 10, 1, RW, MAP_STACK, 0, 0 },
	{ "dont-fork", 10, 1, RW, 0, MADV_DONTFORK, 0 },
	{ "dont-dump", 10, 1, RW, 0, MADV_DONTDUMP, 0 },
	{ "wipe-on-fork", 10, 1, RW, 0, MADV_WIPEONFORK, 0 },
	{ "sequential", 10, 1, RW, 0, MADV_SEQUENTIAL, 0 },
	{ "random", 10, 1, RW, 0, MADV_RANDOM, 0 },
	{ "mergeable", 10, 1, RW, 0, MADV_MERGEABLE, 0 },
	{ "huge", 2048, 1, RW, 0, MADV_HUGEPAGE, 0 },
	{ "no-huge", 2048, 1, RW, 0, MADV_NOHUGEPAGE, 0 },
	{ "locked", 16, 2, RW, 0, 0, 1 },
	{ "locked-on-fault", 16, 2, RW, 0, 0, 2 },
};
#define AREAS (sizeof(areas) / sizeof(areas[0]))

/* Where it is, and its flags as the kernel shows them. */
static struct place {
	char *at, vm_flags[128];
} places[AREAS];

/* "VmFlags:" of the mapping that holds this address, without soft-dirty. */
static void vm_flags(const void *address, char text[128])
{
	unsigned long start, end;
	bool inside = false;
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "re");

	test_must(smaps);
	text[0] = '\0';
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)address >= start && (uintptr_t)address < end;
		if (!inside || strncmp(line, "VmFlags:", 8))
			continue;
		for (char *word = strtok(line + 8, " \n"); word; word = strtok(NULL, " \n"))
			if (strcmp(word, "sd") && strlen(text) < 120)
				strcat(strcat(text, word), " ");
	}
	fclose(smaps);
}

static uint64_t mark(const struct area *area, size_t page)
{
	return ((uint64_t)(area - areas + 1) << 32) + page * 7 + 1;
}

static void make(const struct area *area, struct place *place)
{
	size_t size = area->pages * PAGE;
	char *at;

	/* A page of distance on both sides keeps areas from merging. */
	at = mmap(NULL, size + 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			0);
	test_must(at != MAP_FAILED);
	at += 2 * PAGE;
	test_must(munmap(at, size) == 0);
	at = mmap(at, size, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
			area->flags, -1, 0);
	test_check(at != MAP_FAILED, "%s: mmap", area->name);
	/* An advice that this kernel does not know changes nothing. */
	test_must(!madvise(at, size, area->advice) || errno == EINVAL);
	if (area->lock)
		test_must(!mlock2(at, size, area->lock == 2 ? MLOCK_ONFAULT : 0));
	for (size_t page = 0; area->step && page < area->pages; page += area->step) {
		*(uint64_t *)(at + page * PAGE) = mark(area, page);
		*(uint64_t *)(at + (page + 1) * PAGE - 8) = ~mark(area, page);
	}
	test_must(!mprotect(at, size, area->prot));
	place->at = at;
	vm_flags(at, place->vm_flags);
}

static void check(const struct area *area, const struct place *place)
{
	char now[128];

	vm_flags(place->at, now);
	test_check(!strcmp(now, place->vm_flags), "%s: VmFlags '%s', were '%s'", area->name, now,
		   place->vm_flags);
	test_must(!mprotect(place->at, area->pages * PAGE, RW));
	for (size_t page = 0; page < area->pages; page++) {
		bool written = area->step && page % area->step == 0;
		uint64_t first = *(uint64_t *)(place->at + page * PAGE);
		uint64_t last = *(uint64_t *)(place->at + (page + 1) * PAGE - 8);

		test_check(first == (written ? mark(area, page) : 0),
			   "%s: page %zu begins with %#lx", area->name, page, first);
		test_check(last == (written ? ~mark(area, page) : 0), "%s: page %zu ends with %#lx",
			   area->name, page, last);
	}
}

/* A deep recursion: the main stack still grows, below what it had at the checkpoint. */
static __attribute__((noinline)) uint64_t use_stack(int depth)
{
	volatile uint64_t frame[512];

	for (int i = 0; i < 512; i += 64)
		frame[i] = depth + i;
	return (depth ? use_stack(depth - 1) : 0) + frame[64];
}

/* The heap ends where it did, holds what it held, and moves on from there. */
static void check_break(char *bottom, char *top)
{
	test_check(sbrk(0) == top, "the heap ends at %p, was %p", sbrk(0), top);
	for (char *p = bottom; p < top; p += PAGE)
		test_check(*(uint64_t *)p == (uintptr_t)p, "heap page %p", p);
	test_must(sbrk(64 * PAGE) == top);
	memset(top, 1, 64 * PAGE);
	test_must(sbrk(-64 * PAGE) != (void *)-1);
	test_must(sbrk(0) == top);
}

int main(int argc, char **argv)
{
	volatile uint64_t zeros = 0;
	char *hole, *bottom, *top, *zero_pages;

	test_init(argc, argv);
	for (size_t i = 0; i < AREAS; i++)
		make(&areas[i], &places[i]);
	/* Pages that were only read map the zero page. */
	zero_pages = mmap(NULL, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(zero_pages != MAP_FAILED);
	for (int i = 0; i < 64; i++)
		zeros += zero_pages[i * PAGE];
	/* A hole in the middle, and a piece with another protection. */
	hole = mmap(NULL, 9 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(hole != MAP_FAILED);
	memset(hole, 'h', 9 * PAGE);
	test_must(!munmap(hole + 3 * PAGE, PAGE) && !mprotect(hole + 6 * PAGE, PAGE, PROT_READ));
	bottom = sbrk(0);
	bottom += -(uintptr_t)bottom % PAGE;
	test_must(!brk(bottom + 100 * PAGE));
	top = sbrk(0);
	for (char *p = bottom; p < top; p += PAGE)
		*(uint64_t *)p = (uintptr_t)p;
	use_stack(20);

	test_checkpoint_here();

	for (size_t i = 0; i < AREAS; i++)
		check(&areas[i], &places[i]);
	for (int i = 0; i < 64 * PAGE; i++)
		zeros += zero_pages[i];
	test_check(!zeros, "pages of zeros hold something");
	test_check(mmap(hole + 3 * PAGE, PAGE, RW,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0) == hole + 3 * PAGE,
		   "the hole is not free");
	for (int i = 0; i < 9; i++)
		test_check(hole[i * PAGE] == (i == 3 ? 0 : 'h'), "page %d around the hole", i);
	check_break(bottom, top);
	use_stack(500);
	test_pass();
}
