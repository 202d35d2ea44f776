/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process whose stack is used to its last mapped byte goes on. */
/* test: ignore=mapping */
#include <sys/wait.h>

#include "testing.h"

enum { WORDS = 16, PATIENCE_NS = 2000000 };

static uint64_t stack_start(void)
{
	char line[512];
	unsigned long start, found = 0;
	FILE *file = fopen("/proc/self/maps", "re");

	test_must(file);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "[stack]") && sscanf(line, "%lx-", &start) == 1)
			found = start;
	fclose(file);
	test_must(found);
	return found;
}

/* Waits for a file with the stack pointer at the lowest words of the stack, which it fills, and
 * returns how many of them have changed. Nothing is pushed meanwhile. */
static long wait_low(uint64_t lowest, const char *path, const char *here)
{
	static const struct timespec moment = { .tv_nsec = PATIENCE_NS };
	volatile uint64_t *words = (uint64_t *)lowest;
	uint64_t sp = lowest + WORDS * 8;
	long result, changed = 0;

	test_reach(here);
	for (int i = 0; i < WORDS; i++)
		words[i] = i * 0x9e3779b9ull;
	asm volatile("mov %%rsp, %%r12\n"
		     "mov %[sp], %%rsp\n"
		     "1: mov %[path], %%rdi\n"
		     "xor %%esi, %%esi\n"
		     "mov %[access], %%eax\n"
		     "syscall\n"
		     "test %%rax, %%rax\n"
		     "jz 2f\n"
		     "mov %[moment], %%rdi\n"
		     "xor %%esi, %%esi\n"
		     "mov %[nanosleep], %%eax\n"
		     "syscall\n"
		     "jmp 1b\n"
		     "2: mov %%r12, %%rsp\n"
		     : "=&a"(result)
		     : [sp] "r"(sp), [path] "r"(path), [moment] "r"(&moment),
		       [access] "i"(SYS_access), [nanosleep] "i"(SYS_nanosleep)
		     : "rdi", "rsi", "rcx", "r11", "r12", "memory", "cc");
	for (int i = 0; i < WORDS; i++)
		changed += words[i] != i * 0x9e3779b9ull;
	return changed;
}

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	test_init(argc, argv);
	child = fork();
	test_must(child >= 0);
	if (!child) {
		long changed = wait_low(stack_start(), test_path("go"), "child");

		test_check(!changed, "%ld words of the stack have changed", changed);
		_exit(0);
	}
	test_await("child");

	test_checkpoint_here();

	test_must(waitpid(child, &status, 0) == child);
	test_check(status == 0, "child: wait status %#x", status);
	test_pass();
}
