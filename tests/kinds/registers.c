/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A computation without system calls keeps registers, flags, segment bases and its red zone. */
#include <asm/prctl.h>
#include <pthread.h>

#include "testing.h"

enum { REGISTERS = 14, RED_ZONE_WORDS = 16, FLAG_DIRECTION = 0x400 };

/* In the order of the assembly below: rax rbx rcx rdx rsi rdi rbp r8 … r14. */
uint64_t registers_before[REGISTERS], registers_after[REGISTERS];
uint64_t red_zone_after[RED_ZONE_WORDS], flags_after;
int go_on, spinning;

/* Loads every register, spins until go_on, and stores what is in them. r15 is the stack pointer
 * kept aside; the red zone below it is marked with rsp-relative words. */
void spin(void);
__asm__("	.text\n"
	"	.type spin, @function\n"
	"spin:\n"
	"	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"	lea registers_before(%rip), %r15\n"
	"	mov $1, %eax\n"
	"1:	neg %rax\n"
	"	mov %rax, (%rsp,%rax,8)\n"
	"	neg %rax\n"
	"	inc %rax\n"
	"	cmp $16, %rax\n"
	"	jbe 1b\n"
	"	mov 0(%r15), %rax\n mov 8(%r15), %rbx\n mov 16(%r15), %rcx\n mov 24(%r15), %rdx\n"
	"	mov 32(%r15), %rsi\n mov 40(%r15), %rdi\n mov 48(%r15), %rbp\n mov 56(%r15), %r8\n"
	"	mov 64(%r15), %r9\n mov 72(%r15), %r10\n mov 80(%r15), %r11\n mov 88(%r15), %r12\n"
	"	mov 96(%r15), %r13\n mov 104(%r15), %r14\n"
	"	std\n"
	"	movl $1, spinning(%rip)\n"
	"2:	pause\n"
	"	cmpl $0, go_on(%rip)\n"
	"	je 2b\n"
	"	lea registers_after(%rip), %r15\n"
	"	mov %rax, 0(%r15)\n mov %rbx, 8(%r15)\n mov %rcx, 16(%r15)\n mov %rdx, 24(%r15)\n"
	"	mov %rsi, 32(%r15)\n mov %rdi, 40(%r15)\n mov %rbp, 48(%r15)\n mov %r8, 56(%r15)\n"
	"	mov %r9, 64(%r15)\n mov %r10, 72(%r15)\n mov %r11, 80(%r15)\n mov %r12, 88(%r15)\n"
	"	mov %r13, 96(%r15)\n mov %r14, 104(%r15)\n"
	"	lea red_zone_after(%rip), %r15\n"
	"	mov $0, %ecx\n"
	"3:	mov %rcx, %rdx\n"
	"	neg %rdx\n"
	"	mov -8(%rsp,%rdx,8), %rax\n"
	"	mov %rax, (%r15,%rcx,8)\n"
	"	inc %rcx\n"
	"	cmp $16, %rcx\n"
	"	jb 3b\n"
	"	pushf\n pop %rax\n mov %rax, flags_after(%rip)\n"
	"	cld\n"
	"	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
	"	ret\n"
	"	.size spin, . - spin\n");

static uint64_t base(int which)
{
	uint64_t address = 0;

	test_must(!syscall(SYS_arch_prctl, which, &address));
	return address;
}

static void *thread_main(void *unused)
{
	static uint64_t word = 0x6773206265677365;
	uint64_t fs = base(ARCH_GET_FS), read;

	test_must(!syscall(SYS_arch_prctl, ARCH_SET_GS, &word));
	spin();
	test_check(base(ARCH_GET_FS) == fs, "the FS base is %#lx, was %#lx", base(ARCH_GET_FS), fs);
	test_check(base(ARCH_GET_GS) == (uint64_t)&word, "the GS base is %#lx, was %p",
		   base(ARCH_GET_GS), (void *)&word);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(read));
	test_check(read == word, "%%gs:0 reads %#lx", read);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	test_init(argc, argv);
	for (int i = 0; i < REGISTERS; i++)
		registers_before[i] = 0x1111111111111111ull * (i + 1) ^ 0xa5a5;
	test_must(!pthread_create(&thread, NULL, thread_main, NULL));
	test_wait_until(__atomic_load_n(&spinning, __ATOMIC_SEQ_CST),
			"the thread does not come up");

	test_checkpoint_here();

	__atomic_store_n(&go_on, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	for (int i = 0; i < REGISTERS; i++)
		test_check(registers_after[i] == registers_before[i],
			   "register %d is %#lx, was %#lx", i, registers_after[i],
			   registers_before[i]);
	for (int i = 0; i < RED_ZONE_WORDS; i++)
		test_check(red_zone_after[i] == -(uint64_t)(i + 1), "red zone word %d is %#lx", i,
			   red_zone_after[i]);
	test_check(flags_after & FLAG_DIRECTION, "the direction flag is lost, flags %#lx",
		   flags_after);
	test_pass();
}
