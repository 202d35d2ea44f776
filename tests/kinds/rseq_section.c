/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A restartable sequence that is underway is aborted, and the thread starts it again. */
/* test: modes=restore,running,snapshot,twice,precopy */
/* build: -pthread */
#include <pthread.h>
#include <sys/rseq.h>

#include "testing.h"

int inside, release;
uint64_t committed;
static int aborts;

/*
 * One sequence: notes its own start time, spins until it is released, and commits that start time.
 * Returns whether it committed. rdi: &rseq->rseq_cs.
 */
bool sequence(void *section_pointer);
__asm__("	.pushsection .data\n"
	"	.balign 32\n"
	"section:\n"
	"	.long 0, 0\n"
	"	.quad 1f, 2f - 1f, 4f\n"
	"	.popsection\n"
	"	.text\n"
	"	.type sequence, @function\n"
	"sequence:\n"
	"	lea section(%rip), %rax\n"
	"	mov %rax, (%rdi)\n"
	"1:	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	movl $1, inside(%rip)\n"
	"3:	pause\n"
	"	cmpl $0, release(%rip)\n"
	"	je 3b\n"
	"	mov %rax, committed(%rip)\n"
	"2:	mov $1, %eax\n"
	"	ret\n"
	"	.byte 0x0f, 0xb9, 0x3d\n"
	"	.long 0x53053053\n"
	"4:	xor %eax, %eax\n"
	"	ret\n"
	"	.size sequence, . - sequence\n");

static void *run(void *unused)
{
	struct rseq *rseq = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	while (!sequence(&rseq->rseq_cs))
		__atomic_fetch_add(&aborts, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	uint64_t entered;

	test_init(argc, argv);
	if (!__rseq_size)
		test_skip("the C library has registered no restartable sequences");
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&inside, __ATOMIC_SEQ_CST), "the thread does not come up");
	entered = __builtin_ia32_rdtsc();

	test_checkpoint_here();

	__atomic_store_n(&release, 1, __ATOMIC_SEQ_CST);
	test_must(!pthread_join(thread, NULL));
	test_check(aborts > 0 && committed > entered,
		   "a sequence from before commits, %d were aborted", aborts);
	test_pass();
}
