/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timers of timer_create(2). They are made early, with privileges, and armed late, when little
 * of their time can be lost. A timer whose signal waits is armed for its last expiry, in the past:
 * it fires at once into the blocked signals, and the kernel ties it to the signal again.
 *
 * The count of overruns of a signal that waits is in the kernel only; it starts from 0 again.
 */
#include "kinds/task/posix_timers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/cleanup.h"
#include "images/pending_signals.pb-c.h"
#include "images/pending_signals_shared.pb-c.h"
#include "images/posix_timers.pb-c.h"
#include "kernel-compat/features.h"
#include "kinds/dump.h"
#include "kinds/task/siginfo.h"
#include "proc/timers.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif

extern const struct kind pending_signals_kind, pending_signals_shared_kind;

enum {
	BATCH_TIMERS = 256,
	NS_PER_S = 1000000000,
	/* Ids up to this can be reached by making and deleting timers, within a second. */
	COUNTED_ID_MAX = 1 << 20,
	/* Negative clock ids (the kernel's posix-timers_types.h): a number above three bits. */
	CLOCK_TYPE_MASK = 7,
	CLOCK_OF_DEVICE = 3,
	CLOCK_OF_THREAD = 6,		/* its processor time */
	CLOCK_OF_SOME_THREAD = -2,	/* of the thread that has made the timer */
};

/* struct sigevent of the kernel */
struct event {
	uint64_t value;
	int32_t signal, notify, thread;
	char rest[44];
};

static int compare_ids(const void *a, const void *b)
{
	const struct proc_timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* ---- dump ---- */

/* Timers on the processor time of their maker do not tell who that was; it is taken to be the
 * thread that gets the signal. */
static int find_clock(const struct proc_timer *timer, pid_t only_thread)
{
	pid_t thread = timer->notify & SIGEV_THREAD_ID ? timer->target : only_thread;

	if (timer->clock_id != CLOCK_OF_SOME_THREAD || !thread)
		return timer->clock_id;
	return (int)(~(uint32_t)thread << 3 | CLOCK_OF_THREAD);
}

static const char *clock_problem(const struct proc_timer *timer, pid_t only_thread)
{
	int clock = find_clock(timer, only_thread);

	if (clock == CLOCK_OF_SOME_THREAD)
		return "it runs on the processor time of a thread, and nothing tells of which";
	if (clock < 0 && (clock & CLOCK_TYPE_MASK) == CLOCK_OF_DEVICE)
		return "it runs on the clock of a device";
	return NULL;
}

static int posix_timers_check(const struct task_look *look, struct blockers *blockers,
			      struct error *err)
{
	_cleanup_proc_timers_ struct proc_timers timers = { 0 };
	const struct proc_timer *timer;

	if (proc_read_timers(look->proc_fd, &timers, err))
		return -1;
	array_for(timer, &timers.items) {
		const char *problem =
			clock_problem(timer, look->stat->num_threads == 1 ? look->pid : 0);

		if (problem &&
		    blockers_add(blockers, look->pid, problem,
				 "let the program delete it, or give it another clock",
				 "timer %d", timer->id))
			return error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid);
	}
	return 0;
}

/* Asks for the times of all timers, by batches of our own: there may be thousands. */
static int read_times(struct dump_thread *t, const struct proc_timers *timers,
		      struct itimerspec *times, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t count = timers->items.count, i, k;

	for (i = 0; i < count; i += k) {
		uint64_t address;

		batch_start(&b, &t->task->agent);
		address = batch_space(&b, BATCH_TIMERS * sizeof(*times));
		for (k = 0; k < BATCH_TIMERS && i + k < count; k++)
			batch_must(&b, SYS_timer_gettime, timers->items.items[i + k].id,
				   address + k * sizeof(*times));
		if (agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
		memcpy(&times[i], batch_at(&b, address), k * sizeof(*times));
	}
	return tracee_restore(&t->tracee, err);
}

static uint64_t to_ns(const struct timespec *time)
{
	return time->tv_sec * (uint64_t)NS_PER_S + time->tv_nsec;
}

static int fill_timer(const struct dump_thread *t, const struct proc_timer *from,
		      const struct itimerspec *times, PosixTimer *to, struct error *err)
{
	pid_t only_thread = t->task->threads.count == 1 && !t->task->leader_gone ? t->tid : 0;
	const char *problem = clock_problem(from, only_thread);

	if (problem)
		return error_set(err, ERROR_BLOCKED, 0, "process %d: timer %d: %s", t->task->pid,
				 from->id, problem);
	*to = (PosixTimer)POSIX_TIMER__INIT;
	to->id = from->id;
	to->clock = find_clock(from, only_thread);
	to->notify = from->notify;
	to->signal = from->signal;
	to->value = from->value;
	to->has_thread = from->notify & SIGEV_THREAD_ID;
	to->thread = from->target;
	to->remaining_ns = to_ns(&times->it_value);
	to->interval_ns = to_ns(&times->it_interval);
	return 0;
}

static int posix_timers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			     struct error *err)
{
	_cleanup_proc_timers_ struct proc_timers found = { 0 };
	_cleanup_free_ struct itimerspec *times = NULL;
	_cleanup_free_ PosixTimer *timers = NULL;
	_cleanup_free_ PosixTimer **list = NULL;
	PosixTimers m = POSIX_TIMERS__INIT;
	size_t i, count;

	if (proc_read_timers(t->task->proc_fd, &found, err))
		return -1;
	count = found.items.count;
	if (!count)
		return 0;
	qsort(found.items.items, count, sizeof(found.items.items[0]), compare_ids);
	times = calloc(count, sizeof(*times));
	timers = calloc(count, sizeof(*timers));
	list = calloc(count, sizeof(*list));
	if (!times || !timers || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d: timers", t->task->pid);
	if (read_times(t, &found, times, err))
		return -1;
	for (i = 0; i < count; i++) {
		list[i] = &timers[i];
		if (fill_timer(t, &found.items.items[i], &times[i], list[i], err))
			return -1;
	}
	m.pid = t->task->pid;
	m.timers = list;
	m.n_timers = count;
	return dump_state(t->task->dump, &posix_timers_kind, &m.base, err);
}

/* ---- restore: making ---- */

static void create(const PosixTimer *timer, uint64_t id_address, struct batch *b)
{
	struct event event = {
		.value = timer->value,
		.signal = timer->signal,
		.notify = timer->notify,
		.thread = timer->thread,
	};

	batch_must(b, SYS_timer_create, (int64_t)timer->clock,
		   batch_put(b, &event, sizeof(event)), id_address);
}

/* The kernel takes the ids that we want. */
static int create_with_ids(struct restore_thread *t, const PosixTimers *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t i, k;

	for (i = 0; i < m->n_timers; i += k) {
		batch_start(&b, &t->task->agent);
		batch_must(&b, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 1);
		for (k = 0; k < BATCH_TIMERS && i + k < m->n_timers; k++) {
			int32_t id = m->timers[i + k]->id;

			create(m->timers[i + k], batch_put(&b, &id, sizeof(id)), &b);
		}
		batch_must(&b, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 0);
		if (agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
	}
	return 0;
}

/* A process's first timer has id 0, the next one 1 …: those in between are made and deleted. */
static int create_by_counting(struct restore_thread *t, const PosixTimers *m, struct error *err)
{
	struct event none = { .notify = SIGEV_NONE };
	_cleanup_batch_ struct batch b = { 0 };
	uint32_t next = 0;
	size_t i = 0;

	while (i < m->n_timers) {
		uint64_t event, last;
		int k;

		batch_start(&b, &t->task->agent);
		event = batch_put(&b, &none, sizeof(none));
		last = batch_space(&b, sizeof(int32_t));
		for (k = 0; k < BATCH_TIMERS && i < m->n_timers; k++, next++) {
			if (m->timers[i]->id == next) {
				create(m->timers[i++], last, &b);
				continue;
			}
			batch_must(&b, SYS_timer_create, CLOCK_MONOTONIC, event, last);
			batch_must(&b, SYS_timer_delete, next);
		}
		if (agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
		if (*(const uint32_t *)batch_at(&b, last) != next - 1)
			return error_set(err, ERROR_FAILED, 0,
					 "process %u: the kernel does not count its timers",
					 m->pid);
	}
	return 0;
}

static int check_message(const PosixTimers *m, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_timers; i++)
		if (m->timers[i]->id > INT32_MAX ||
		    (i && m->timers[i]->id <= m->timers[i - 1]->id) ||
		    m->timers[i]->remaining_ns > INT64_MAX || m->timers[i]->interval_ns > INT64_MAX)
			return error_set(err, ERROR_IMAGE, 0, "process %u: timer %u", m->pid,
					 m->timers[i]->id);
	return 0;
}

static int posix_timers_put(struct restore_thread *t, const ProtobufCMessage *message,
			    struct batch *b, struct error *err)
{
	const PosixTimers *m = (const PosixTimers *)message;

	if (!m->n_timers)
		return 0;
	if (check_message(m, err))
		return -1;
	if (feature_works("timer-restore-ids"))
		return create_with_ids(t, m, err);
	if (m->timers[m->n_timers - 1]->id > COUNTED_ID_MAX) {
		error_set(err, ERROR_FAILED, 0, "process %u: its timer has id %u", m->pid,
			  m->timers[m->n_timers - 1]->id);
		return error_hint(err, "such an id needs a kernel since 6.15");
	}
	return create_by_counting(t, m, err);
}

/* ---- restore: arming ---- */

static struct timespec from_ns(int64_t ns)
{
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

/* When a timer whose signal waits has last expired, on its own clock; 0 when it cannot be armed
 * for that. */
static int64_t last_expiry(const PosixTimer *timer)
{
	struct timespec now;
	int64_t last;

	/* Nobody else can read a clock of processor time, and with another expiry ahead the signal
	 * is of an earlier setting. */
	if (timer->clock < 0 || (timer->remaining_ns && !timer->interval_ns) ||
	    clock_gettime(timer->clock, &now))
		return 0;
	last = to_ns(&now) + timer->remaining_ns - timer->interval_ns;
	return last > 0 ? last : 0;
}

bool posix_timers_sends(const struct restore_thread *t, const siginfo_t *info)
{
	const PosixTimers *m =
		(const PosixTimers *)restore_task_state(t->task, &posix_timers_kind);
	size_t i;

	if (!m || info->si_code != SI_TIMER)
		return false;
	for (i = 0; i < m->n_timers; i++)
		if (m->timers[i]->id == (uint32_t)info->si_timerid &&
		    m->timers[i]->signal == (uint32_t)info->si_signo)
			return last_expiry(m->timers[i]) != 0;
	return false;
}

static bool list_has(const ProtobufCBinaryData *fields, size_t count, const PosixTimer *timer)
{
	siginfo_t info;
	size_t i;

	for (i = 0; i < count; i++)
		if (siginfo_from_field(&fields[i], &info) && info.si_code == SI_TIMER &&
		    info.si_timerid == (int)timer->id && info.si_signo == (int)timer->signal)
			return true;
	return false;
}

static bool signal_waits(const struct restore_thread *t, const PosixTimer *timer)
{
	const PendingSignalsShared *shared = (const PendingSignalsShared *)restore_task_state(
		t->task, &pending_signals_shared_kind);
	struct restore_thread **thread;

	if (shared && list_has(shared->signals, shared->n_signals, timer))
		return true;
	array_for(thread, &t->task->threads) {
		const PendingSignals *own = (const PendingSignals *)restore_thread_state(
			*thread, &pending_signals_kind);

		if (own && list_has(own->signals, own->n_signals, timer))
			return true;
	}
	return false;
}

static void arm(const struct restore_thread *t, const PosixTimer *timer, struct batch *b)
{
	int64_t last = signal_waits(t, timer) ? last_expiry(timer) : 0;
	struct itimerspec times = {
		.it_value = from_ns(last ? last : (int64_t)timer->remaining_ns),
		.it_interval = from_ns(timer->interval_ns),
	};

	if (last || timer->remaining_ns)
		batch_must(b, SYS_timer_settime, timer->id, last ? TIMER_ABSTIME : 0,
			   batch_put(b, &times, sizeof(times)), 0);
}

static int posix_timers_finish(struct restore_thread *t, const ProtobufCMessage *message,
			       const struct batch *done, struct error *err)
{
	const PosixTimers *m = (const PosixTimers *)message;
	_cleanup_batch_ struct batch b = { 0 };
	size_t i, k;

	for (i = 0; i < m->n_timers; i += k) {
		batch_start(&b, &t->task->agent);
		for (k = 0; k < BATCH_TIMERS && i + k < m->n_timers; k++)
			arm(t, m->timers[i + k], &b);
		if (agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
	}
	return 0;
}

static const struct state_ops posix_timers_state = {
	.check = posix_timers_check,
	.take = posix_timers_take,
	.put = posix_timers_put,
	.finish = posix_timers_finish,
};

const struct kind posix_timers_kind = {
	.name = "posix-timers",
	.record = 0x43,
	.scope = KIND_TASK,
	.message = &posix_timers__descriptor,
	.help = "POSIX timers with their ids, clocks, notification and remaining time",
	.state = &posix_timers_state,
};
