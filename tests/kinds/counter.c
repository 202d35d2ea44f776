/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plain process keeps what it has in heap, bss, data, stack and thread-local storage. */
/* test: kinds=mm */
/* test: modes=none,restore,running,snapshot,twice,pipe */
#include "testing.h"

enum { WORDS = 100000 };

static uint32_t in_bss[WORDS];
static uint32_t in_data[4] = { 1, 2, 3, 4 };
static __thread uint32_t in_tls[1000];

/* A sequence in which every word is different and none is zero for long. */
static void fill(uint32_t *words, size_t count, uint32_t seed)
{
	for (size_t i = 0; i < count; i++)
		words[i] = seed += 0x9e3779b9u;
}

static void expect(const uint32_t *words, size_t count, uint32_t seed, const char *where)
{
	for (size_t i = 0; i < count; i++)
		test_check(words[i] == (seed += 0x9e3779b9u), "%s: word %zu is %#x, was %#x", where,
			   i, words[i], seed);
}

int main(int argc, char **argv)
{
	uint32_t on_stack[WORDS];
	uint32_t *in_heap = malloc(WORDS * sizeof(*in_heap));
	uint32_t *small[200];
	pid_t pid = getpid(), parent = getppid();

	test_init(argc, argv);
	test_must(in_heap);
	fill(in_bss, WORDS, 1);
	fill(in_data, 4, 2);
	fill(in_tls, 1000, 3);
	fill(on_stack, WORDS, 4);
	fill(in_heap, WORDS, 5);
	for (size_t i = 0; i < 200; i++) {
		test_must(small[i] = malloc(i + 4));
		*small[i] = i;
	}

	test_checkpoint_here();

	expect(in_bss, WORDS, 1, "bss");
	expect(in_data, 4, 2, "data");
	expect(in_tls, 1000, 3, "thread-local storage");
	expect(on_stack, WORDS, 4, "stack");
	expect(in_heap, WORDS, 5, "heap");
	for (size_t i = 0; i < 200; i++) {
		test_check(*small[i] == i, "small block %zu holds %u", i, *small[i]);
		free(small[i]);
	}
	free(in_heap);
	test_must(in_heap = calloc(1, 4 << 20));
	free(in_heap);
	test_check(getpid() == pid, "pid is %d, was %d", getpid(), pid);
	test_check(getppid() == parent, "parent is %d, was %d", getppid(), parent);
	test_check(!strcmp(argv[1], test_scratch), "argv[1] is '%s'", argv[1]);
	test_pass();
}
