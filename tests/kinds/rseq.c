/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel goes on to write the processor's number into the registered area of each thread. */
/* build: -pthread */
#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>

#include "testing.h"

static int ready;

static struct rseq *area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* Both sides of a registration: the kernel keeps the area up to date, and knows it. */
static void check(const char *who)
{
	volatile struct rseq *rseq = area();
	cpu_set_t all, one;

	test_must(!sched_getaffinity(0, sizeof(all), &all));
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		test_must(!sched_setaffinity(0, sizeof(one), &one));
		test_check((int)rseq->cpu_id == i, "%s: on processor %d the area says %d", who, i,
			   (int)rseq->cpu_id);
	}
	test_must(!sched_setaffinity(0, sizeof(all), &all));
	test_check(syscall(SYS_rseq, area(), __rseq_size < 32 ? 32 : __rseq_size, 0, RSEQ_SIG) ==
				   -1 && errno == EBUSY,
		   "%s: the kernel does not know the registration", who);
}

static void *run(void *arg)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check("thread");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];

	test_init(argc, argv);
	if (!__rseq_size)
		test_skip("the C library has registered no restartable sequences");
	check("before");
	for (int i = 0; i < 2; i++)
		test_must(!pthread_create(&threads[i], NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 2, "threads");

	test_checkpoint_here();

	check("after");
	for (int i = 0; i < 2; i++)
		test_must(!pthread_join(threads[i], NULL));
	test_pass();
}
