/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hundreds of threads keep their tids, stacks, thread-local storage, names, locks and futexes. */
#include <asm/prctl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/rseq.h>

#include "testing.h"

enum { THREADS = 300, STACK = 128 << 10, STACK_WORDS = 4000 };

static __thread uint64_t in_tls[64];
static pthread_t threads[THREADS];
static pid_t tids[THREADS];
static pthread_mutex_t held_by_root = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t robust;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static bool go;
static int started, futex_word, passed;

/* The restartable sequence area of this thread is registered: the kernel keeps its cpu current. */
static void check_rseq(int index)
{
	const struct rseq *area =
		(const void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	cpu_set_t all, one;
	int cpu = sched_getcpu();

	if (!__rseq_size)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	test_must(!sched_getaffinity(0, sizeof(all), &all));
	test_must(!sched_setaffinity(0, sizeof(one), &one));
	sched_yield();
	test_check(*(volatile const uint32_t *)&area->cpu_id == (uint32_t)cpu,
		   "thread %d: rseq says cpu %u on cpu %d", index, area->cpu_id, cpu);
	test_must(!sched_setaffinity(0, sizeof(all), &all));
}

/* Five ways to wait for the root. */
static void wait_for_root(int index)
{
	switch (index % 5) {
	case 0:
		pthread_mutex_lock(&held_by_root);
		pthread_mutex_unlock(&held_by_root);
		break;
	case 1:
		pthread_mutex_lock(&lock);
		while (!go)
			pthread_cond_wait(&condition, &lock);
		pthread_mutex_unlock(&lock);
		break;
	case 2:
		while (!__atomic_load_n(&futex_word, __ATOMIC_SEQ_CST))
			syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		break;
	case 3:
		pthread_barrier_wait(&barrier);
		break;
	case 4:
		test_wait_for_go();
		break;
	}
}

static void *thread_main(void *argument)
{
	int index = (intptr_t)argument;
	volatile uint64_t on_stack[STACK_WORDS];
	uintptr_t gs = 0x10000 + index, gs_now = 0;
	char name[16], name_now[16];
	pid_t tid = syscall(SYS_gettid);

	snprintf(name, sizeof(name), "thread-%d", index);
	prctl(PR_SET_NAME, name);
	syscall(SYS_arch_prctl, ARCH_SET_GS, gs);
	tids[index] = tid;
	for (int i = 0; i < 64; i++)
		in_tls[i] = index * 1000 + i;
	for (int i = 0; i < STACK_WORDS; i++)
		on_stack[i] = index * 100000ull + i;
	if (index == 7)
		pthread_mutex_lock(&robust);
	__atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);

	wait_for_root(index);

	test_check(syscall(SYS_gettid) == tid, "thread %d: tid %ld, was %d", index,
		   syscall(SYS_gettid), tid);
	for (int i = 0; i < 64; i++)
		test_check(in_tls[i] == (uint64_t)index * 1000 + i, "thread %d: TLS word %d is %lu",
			   index, i, in_tls[i]);
	for (int i = 0; i < STACK_WORDS; i++)
		test_check(on_stack[i] == index * 100000ull + i, "thread %d: stack word %d", index,
			   i);
	prctl(PR_GET_NAME, name_now);
	test_check(!strcmp(name, name_now), "thread %d is named '%s'", index, name_now);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_now);
	test_check(gs_now == gs, "thread %d: GS base %#lx, was %#lx", index, gs_now, gs);
	test_check(pthread_equal(pthread_self(), threads[index]), "thread %d: pthread_self", index);
	check_rseq(index);
	__atomic_add_fetch(&passed, 1, __ATOMIC_SEQ_CST);
	return (void *)(intptr_t)(index + 1);	/* index 7 ends with the robust mutex held */
}

static void start_threads(void)
{
	pthread_mutexattr_t recovers;
	pthread_attr_t small;

	pthread_mutexattr_init(&recovers);
	pthread_mutexattr_setrobust(&recovers, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &recovers);
	pthread_barrier_init(&barrier, NULL, THREADS / 5 + 1);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK);
	pthread_mutex_lock(&held_by_root);
	for (int i = 0; i < THREADS; i++)
		test_check(!pthread_create(&threads[i], &small, thread_main, (void *)(intptr_t)i),
			   "cannot create thread %d", i);
	test_wait_until(__atomic_load_n(&started, __ATOMIC_SEQ_CST) == THREADS,
			"%d threads started", started);
}

int main(int argc, char **argv)
{
	void *ended;

	test_init(argc, argv);
	start_threads();

	test_checkpoint_here();

	test_check(!passed || passed <= THREADS / 5, "%d threads went on without the root", passed);
	pthread_mutex_unlock(&held_by_root);
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&lock);
	__atomic_store_n(&futex_word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, THREADS, NULL, NULL, 0);
	pthread_barrier_wait(&barrier);
	/* Joining waits for the kernel to clear the tid. */
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &ended);
		test_check(ended == (void *)(intptr_t)(i + 1), "thread %d returned %p", i, ended);
	}
	test_check(passed == THREADS, "%d of %d threads passed", passed, THREADS);
	test_check(pthread_mutex_lock(&robust) == EOWNERDEAD, "the robust list is lost");
	test_pass();
}
