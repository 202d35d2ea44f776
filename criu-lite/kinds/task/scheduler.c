/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a thread is scheduled: policy, nice, processors, priority of its I/O, timer slack. */
#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "images/scheduler.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind scheduler_kind;

enum {
	MASK_SIZE = PROC_CPU_WORDS * sizeof(uint64_t),
	UTIL_MAX = 1024,
	IOPRIO_WHO_PROCESS = 1,
	NICE_OFFSET = 20,	/* getpriority(2) as the kernel answers: 20 - nice */
};

/* Flags that are the program's own; the others only say which fields count. */
static const uint64_t own_flags =
	SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN;

/* Records of the questions, behind the first. */
enum { ASK_ATTR, ASK_NICE, ASK_IO_PRIORITY, ASK_SLACK };

static int scheduler_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	ask->address[0] = batch_space(b, sizeof(struct sched_attr));
	ask->record = batch_must(b, SYS_sched_getattr, 0, ask->address[0],
				 sizeof(struct sched_attr), 0);
	batch_must(b, SYS_getpriority, PRIO_PROCESS, 0);
	batch_call(b, SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	batch_call(b, SYS_prctl, PR_GET_TIMERSLACK);
	return 0;
}

/* Fills mask with the processors of the thread; returns the bytes to save, 0 when it may run on
 * all there are. */
static size_t find_processors(const struct proc_status *status, uint8_t mask[MASK_SIZE])
{
	long all = sysconf(_SC_NPROCESSORS_CONF), i;
	size_t size = status->cpu_words * sizeof(uint64_t);

	memcpy(mask, status->cpus_allowed, size);
	while (size && !mask[size - 1])
		size--;
	for (i = 0; i < all && i < (long)size * 8; i++)
		if (!(mask[i / 8] >> i % 8 & 1))
			return size;
	return i < all ? size : 0;
}

static void fill_attr(const struct sched_attr *attr, Scheduler *m)
{
	m->policy = attr->sched_policy;
	m->priority = attr->sched_priority;
	m->has_priority = m->priority != 0;
	m->flags = attr->sched_flags & own_flags;
	m->has_flags = m->flags != 0;
	if (attr->sched_policy == SCHED_DEADLINE) {
		m->has_runtime_ns = m->has_deadline_ns = m->has_period_ns = true;
		m->runtime_ns = attr->sched_runtime;
		m->deadline_ns = attr->sched_deadline;
		m->period_ns = attr->sched_period;
	}
	/* Kernels without utilisation clamping answer 0 to both. */
	if (attr->sched_util_max && (attr->sched_util_min || attr->sched_util_max != UTIL_MAX)) {
		m->has_util_min = m->has_util_max = true;
		m->util_min = attr->sched_util_min;
		m->util_max = attr->sched_util_max;
	}
}

static int scheduler_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			  struct error *err)
{
	int64_t io_priority = batch_result(b, ask->record + ASK_IO_PRIORITY);
	uint8_t mask[MASK_SIZE];
	Scheduler m = SCHEDULER__INIT;

	m.tid = t->tid;
	m.nice = NICE_OFFSET - batch_result(b, ask->record + ASK_NICE);
	fill_attr(batch_at(b, ask->address[0]), &m);
	m.processors.len = find_processors(&t->status, mask);
	m.processors.data = mask;
	m.has_processors = m.processors.len != 0;
	m.has_io_priority = io_priority >= 0;
	m.io_priority = io_priority;
	/* Real-time policies have none. */
	m.timer_slack_ns = batch_result(b, ask->record + ASK_SLACK);
	m.has_timer_slack_ns = m.timer_slack_ns != 0;
	return dump_state(t->task->dump, &scheduler_kind, &m.base, err);
}

/* A mask that names processors that are not here is narrowed by the kernel; nothing may be left. */
static int put_processors(const Scheduler *m, struct batch *b, struct error *err)
{
	uint8_t all[MASK_SIZE];
	long here = sysconf(_SC_NPROCESSORS_CONF);
	size_t i, usable = 0, missing = 0;

	if (!m->has_processors) {
		memset(all, 0xff, sizeof(all));
		batch_must(b, SYS_sched_setaffinity, 0, sizeof(all),
			   batch_put(b, all, sizeof(all)));
		return 0;
	}
	if (m->processors.len > MASK_SIZE)
		return error_set(err, ERROR_IMAGE, 0, "task %u: %zu bytes of processors", m->tid,
				 m->processors.len);
	for (i = 0; i < m->processors.len * 8; i++)
		if (m->processors.data[i / 8] >> i % 8 & 1)
			*(i < (size_t)here ? &usable : &missing) += 1;
	if (!usable) {
		error_set(err, ERROR_FAILED, 0,
			  "task %u: may only run on processors that are not here", m->tid);
		return error_hint(err, "change its affinity (taskset) before the checkpoint");
	}
	if (missing)
		log_notice("task %u: %zu of its processors are not here", m->tid, missing);
	batch_must(b, SYS_sched_setaffinity, 0, m->processors.len,
		   batch_put(b, m->processors.data, m->processors.len));
	return 0;
}

static int scheduler_put(struct restore_thread *t, const ProtobufCMessage *message,
			 struct batch *b, struct error *err)
{
	const Scheduler *m = (const Scheduler *)message;
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = m->policy,
		.sched_flags = m->flags & own_flags,
		.sched_nice = m->nice,
		.sched_priority = m->priority,
		.sched_runtime = m->runtime_ns,
		.sched_deadline = m->deadline_ns,
		.sched_period = m->period_ns,
	};

	if (m->has_util_min && m->has_util_max) {
		attr.sched_flags |= SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_UTIL_CLAMP_MAX;
		attr.sched_util_min = m->util_min;
		attr.sched_util_max = m->util_max;
	}
	/* Before a real-time policy, under which nice is kept for later. */
	batch_must(b, SYS_setpriority, PRIO_PROCESS, 0, (int64_t)m->nice);
	if (put_processors(m, b, err))
		return -1;
	batch_must(b, SYS_sched_setattr, 0, batch_put(b, &attr, sizeof(attr)), 0);
	if (m->has_io_priority)
		batch_must(b, SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, m->io_priority);
	if (m->has_timer_slack_ns)
		batch_must(b, SYS_prctl, PR_SET_TIMERSLACK, m->timer_slack_ns);
	return 0;
}

static const struct state_ops scheduler_state = {
	.ask = scheduler_ask,
	.take = scheduler_take,
	.put = scheduler_put,
};

const struct kind scheduler_kind = {
	.name = "scheduler",
	.record = 0x89,
	.scope = KIND_THREAD,
	.message = &scheduler__descriptor,
	.help = "scheduling policy, nice, processors, I/O priority, timer slack",
	.state = &scheduler_state,
};
