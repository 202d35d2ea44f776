/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three timers of setitimer(2), and with them alarm(2). Armed late, when little of their time
 * can be lost. */
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "images/interval_timers.pb-c.h"
#include "images/pending_signals_shared.pb-c.h"
#include "kinds/task/siginfo.h"

extern const struct kind interval_timers_kind, pending_signals_shared_kind;

enum { TIMERS = 3, US_PER_S = 1000000, NS_PER_US = 1000 };

static int interval_timers_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			       struct error *err)
{
	int which;

	ask->address[0] = batch_space(b, TIMERS * sizeof(struct itimerval));
	for (which = 0; which < TIMERS; which++)
		batch_must(b, SYS_getitimer, which,
			   ask->address[0] + which * sizeof(struct itimerval));
	return 0;
}

static uint64_t to_us(const struct timeval *time)
{
	return time->tv_sec * (uint64_t)US_PER_S + time->tv_usec;
}

static int interval_timers_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
				struct error *err)
{
	const struct itimerval *found = batch_at(b, ask->address[0]);
	IntervalTimer timers[TIMERS], *list[TIMERS];
	IntervalTimers m = INTERVAL_TIMERS__INIT;
	int which;

	m.pid = t->task->pid;
	m.timers = list;
	for (which = 0; which < TIMERS; which++) {
		IntervalTimer *timer = &timers[which];

		*timer = (IntervalTimer)INTERVAL_TIMER__INIT;
		timer->which = which;
		timer->remaining_us = to_us(&found[which].it_value);
		timer->interval_us = to_us(&found[which].it_interval);
		if (timer->remaining_us || timer->interval_us)
			list[m.n_timers++] = timer;
	}
	return m.n_timers ? dump_state(t->task->dump, &interval_timers_kind, &m.base, err) : 0;
}

static struct timeval from_us(uint64_t us)
{
	return (struct timeval){ us / US_PER_S, us % US_PER_S };
}

/* The kernel adds a tick to what it is given for the timers of processor time. */
static uint64_t without_tick(uint64_t us)
{
	struct timespec tick = { 0 };
	uint64_t tick_us;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	tick_us = tick.tv_nsec / NS_PER_US;
	return us > tick_us ? us - tick_us : us;
}

static bool alarm_waits(const struct restore_thread *t)
{
	const PendingSignalsShared *m = (const PendingSignalsShared *)restore_task_state(
		t->task, &pending_signals_shared_kind);
	siginfo_t info;
	size_t i;

	for (i = 0; m && i < m->n_signals; i++)
		if (siginfo_from_field(&m->signals[i], &info) && info.si_signo == SIGALRM)
			return true;
	return false;
}

static int interval_timers_finish(struct restore_thread *t, const ProtobufCMessage *message,
				  const struct batch *done, struct error *err)
{
	const IntervalTimers *m = (const IntervalTimers *)message;
	_cleanup_batch_ struct batch b = { 0 };
	size_t i;

	batch_start(&b, &t->task->agent);
	for (i = 0; i < m->n_timers; i++) {
		const IntervalTimer *timer = m->timers[i];
		struct itimerval times = {
			.it_value = from_us(timer->which == ITIMER_REAL ?
						    timer->remaining_us :
						    without_tick(timer->remaining_us)),
			.it_interval = from_us(timer->interval_us),
		};

		if (timer->which >= TIMERS)
			return error_set(err, ERROR_IMAGE, 0, "process %u: interval timer %u",
					 m->pid, timer->which);
		/* One that has expired is started anew when its SIGALRM is taken. Let it expire
		 * again at once: the signal waits already, so that no second one comes of it. */
		if (!timer->remaining_us && alarm_waits(t))
			times.it_value.tv_usec = 1;
		batch_must(&b, SYS_setitimer, timer->which, batch_put(&b, &times, sizeof(times)),
			   0);
	}
	return agent_run(&t->task->agent, &t->tracee, &b, err);
}

static const struct state_ops interval_timers_state = {
	.ask = interval_timers_ask,
	.take = interval_timers_take,
	.finish = interval_timers_finish,
};

const struct kind interval_timers_kind = {
	.name = "interval-timers",
	.record = 0x42,
	.scope = KIND_TASK,
	.message = &interval_timers__descriptor,
	.help = "timers of setitimer and alarm with their remaining time",
	.state = &interval_timers_state,
};
