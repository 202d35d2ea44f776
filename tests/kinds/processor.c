/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forbidden instructions stay forbidden, protections against speculation stay on, by thread. */
/* build: -pthread */
#include <asm/prctl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>

#include "testing.h"

struct state {
	int tsc, cpuid, speculation[2], machine_check;
};

static bool ready;
static sigjmp_buf back;

static struct state read_state(void)
{
	struct state s;

	test_must(!prctl(PR_GET_TSC, &s.tsc));
	s.cpuid = syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0);
	for (int i = 0; i < 2; i++)
		s.speculation[i] = prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
	s.machine_check = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	return s;
}

static void check(const char *who, const struct state *before)
{
	struct state after = read_state();

	test_check(!memcmp(before, &after, sizeof(after)),
		   "%s: TSC %d CPUID %d speculation %#x %#x machine check %d, was %d %d %#x %#x %d",
		   who, after.tsc, after.cpuid, after.speculation[0], after.speculation[1],
		   after.machine_check, before->tsc, before->cpuid, before->speculation[0],
		   before->speculation[1], before->machine_check);
}

static void on_fault(int signal)
{
	siglongjmp(back, 1);
}

static bool can_read_tsc(void)
{
	if (sigsetjmp(back, 1))
		return false;
	__asm__ volatile("rdtsc" : : : "rax", "rdx");
	return true;
}

static void *run(void *arg)
{
	struct state before;

	test_must(!prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
	test_must(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	/* Where the processor can: */
	syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
	for (int i = 0; i < 2; i++)
		prctl(PR_SET_SPECULATION_CTRL, i, PR_SPEC_DISABLE, 0, 0);
	before = read_state();
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	/* Without a look at the clock, which would read the counter. */
	while (access(test_path("go"), F_OK))
		usleep(2000);
	errno = 0;
	check("thread", &before);
	test_check(!can_read_tsc(), "the time stamp counter can be read");
	return NULL;
}

int main(int argc, char **argv)
{
	struct state before;
	pthread_t thread;

	test_init(argc, argv);
	signal(SIGSEGV, on_fault);
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");
	before = read_state();

	test_checkpoint_here();

	check("first thread", &before);
	test_check(can_read_tsc(), "the time stamp counter cannot be read");
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
