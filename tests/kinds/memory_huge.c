/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that lay in huge pages lies in huge pages again, with its content. */
#include <sys/mman.h>

#include "testing.h"

enum { HUGE = 2 << 20, COUNT = 12 };

/* "AnonHugePages:" of this process in KiB. */
static long huge_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *rollup = fopen("/proc/self/smaps_rollup", "re");

	test_must(rollup);
	while (fgets(line, sizeof(line), rollup))
		if (sscanf(line, "AnonHugePages: %ld", &kib) == 1)
			break;
	fclose(rollup);
	return kib;
}

int main(int argc, char **argv)
{
	uint32_t *words;
	char *area;
	long before, after;

	test_init(argc, argv);
	area = mmap(NULL, (COUNT + 1) * (size_t)HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_must(area != MAP_FAILED);
	area += -(uintptr_t)area % HUGE;
	if (madvise(area, COUNT * (size_t)HUGE, MADV_HUGEPAGE))
		test_skip("no transparent huge pages in this kernel");
	words = (uint32_t *)area;
	for (size_t i = 0; i < COUNT * (size_t)HUGE / 4; i++)
		words[i] = i * 2654435761u;
	before = huge_kib();
	if (before <= 0)
		test_skip("the kernel gives no huge pages");

	test_checkpoint_here();

	for (size_t i = 0; i < COUNT * (size_t)HUGE / 4; i++)
		test_check(words[i] == (uint32_t)(i * 2654435761u), "word %zu is %#x", i, words[i]);
	after = huge_kib();
	/* The kernel may lack a free one here and there. */
	test_check(after >= before / 2, "%ld KiB in huge pages, were %ld", after, before);
	test_pass();
}
