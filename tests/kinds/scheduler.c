/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy, nice, priorities, processors and timer slack belong to each thread and stay. */
/* build: -pthread */
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "testing.h"

enum { IO_CLASS_IDLE = 3 << 13, IO_BEST_EFFORT_7 = 2 << 13 | 7 };

/* linux/sched/types.h, which does not go together with that of the C library */
struct attr {
	uint32_t size, sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint32_t sched_util_min, sched_util_max;
};

struct state {
	struct attr attr;
	int nice, io_priority;
	long slack;
	cpu_set_t processors;
};

static const struct row {
	const char *name;
	int policy, priority, nice, io_priority;
	bool reset, one_processor;
	unsigned long slack;
} rows[] = {
	{ .name = "plain", .policy = SCHED_OTHER },
	{ .name = "nice", .policy = SCHED_OTHER, .nice = 11, .io_priority = IO_CLASS_IDLE },
	{ .name = "eager", .policy = SCHED_OTHER, .nice = -7, .slack = 1000000 },
	{ .name = "batch", .policy = SCHED_BATCH, .nice = 3, .one_processor = true },
	{ .name = "idle", .policy = SCHED_IDLE, .io_priority = IO_BEST_EFFORT_7 },
	{ .name = "fifo", .policy = SCHED_FIFO, .priority = 3, .nice = 5, .reset = true },
	{ .name = "round robin", .policy = SCHED_RR, .priority = 9 },
	{ .name = "deadline", .policy = SCHED_DEADLINE },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static int ready;

static struct state read_state(void)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	test_must(!syscall(SYS_sched_getattr, 0, &s.attr, sizeof(s.attr), 0));
	/* What is left of the time slice is told here too. */
	if (s.attr.sched_policy != SCHED_DEADLINE)
		s.attr.sched_runtime = 0;
	errno = 0;
	s.nice = getpriority(PRIO_PROCESS, 0);
	s.io_priority = syscall(SYS_ioprio_get, 1, 0);
	s.slack = prctl(PR_GET_TIMERSLACK);
	test_must(!sched_getaffinity(0, sizeof(s.processors), &s.processors));
	return s;
}

static void make(const struct row *row)
{
	struct attr attr = {
		.size = sizeof(attr),
		.sched_policy = row->policy,
		.sched_nice = row->nice,
		.sched_priority = row->priority,
		.sched_flags = row->reset,	/* SCHED_FLAG_RESET_ON_FORK */
	};
	cpu_set_t one;

	if (row->policy == SCHED_DEADLINE) {
		attr.sched_runtime = 200000;
		attr.sched_deadline = 20000000;
		attr.sched_period = 40000000;
	}
	test_must(!setpriority(PRIO_PROCESS, 0, row->nice));
	test_check(!syscall(SYS_sched_setattr, 0, &attr, 0), "%s: cannot set", row->name);
	if (row->one_processor) {
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		test_must(!sched_setaffinity(0, sizeof(one), &one));
	}
	if (row->io_priority)
		test_must(!syscall(SYS_ioprio_set, 1, 0, row->io_priority));
	if (row->slack)
		test_must(!prctl(PR_SET_TIMERSLACK, row->slack));
}

static void *run(void *arg)
{
	const struct row *row = arg;
	struct state before, after;

	make(row);
	before = read_state();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	after = read_state();
	test_check(!memcmp(&before.attr, &after.attr, sizeof(before.attr)),
		   "%s: policy %u nice %d priority %u flags %lu times %lu %lu %lu", row->name,
		   after.attr.sched_policy, after.attr.sched_nice, after.attr.sched_priority,
		   (long)after.attr.sched_flags, (long)after.attr.sched_runtime,
		   (long)after.attr.sched_deadline, (long)after.attr.sched_period);
	test_check(after.nice == before.nice, "%s: nice %d, was %d", row->name, after.nice,
		   before.nice);
	test_check(after.io_priority == before.io_priority, "%s: priority of I/O %#x, was %#x",
		   row->name, after.io_priority, before.io_priority);
	test_check(after.slack == before.slack, "%s: timer slack %ld, was %ld", row->name,
		   after.slack, before.slack);
	test_check(CPU_EQUAL(&after.processors, &before.processors), "%s: other processors",
		   row->name);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[ROWS];

	test_init(argc, argv);
	for (int i = 0; i < ROWS; i++)
		test_must(!pthread_create(&threads[i], NULL, run, (void *)&rows[i]));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == ROWS, "threads");

	test_checkpoint_here();

	for (int i = 0; i < ROWS; i++)
		test_must(!pthread_join(threads[i], NULL));
	test_pass();
}
