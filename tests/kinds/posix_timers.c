/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many POSIX timers with gaps among their ids, on all clocks; expired ones stay tied to their
 * signals. */
/* test: ignore=timers */
/* build: -pthread */
#include <pthread.h>
#include <signal.h>

#include "testing.h"

enum { MANY = 600, PERIOD_MS = 40, LONG_S = 5000 };

static bool stop;
static pid_t worker_tid;

static int make(clockid_t clock, int notify, int signal, int value)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = signal };
	int id = -1;

	event.sigev_value.sival_int = value;
	event._sigev_un._tid = syscall(SYS_gettid);
	test_check(!syscall(SYS_timer_create, clock, &event, &id), "timer on clock %d", clock);
	return id;
}

static void start(int id, int64_t ms, int64_t period_ms)
{
	struct itimerspec spec = {
		.it_value = { ms / 1000, ms % 1000 * 1000000 },
		.it_interval = { period_ms / 1000, period_ms % 1000 * 1000000 },
	};

	test_must(!syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static int64_t rest_ms(int id)
{
	struct itimerspec spec;

	test_check(!syscall(SYS_timer_gettime, id, &spec), "timer %d is lost", id);
	return spec.it_value.tv_sec * 1000 + spec.it_value.tv_nsec / 1000000;
}

static siginfo_t take(int signal, int ms)
{
	struct timespec timeout = { .tv_nsec = ms * 1000000l };
	siginfo_t info = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	test_check(sigtimedwait(&set, &info, &timeout) == signal, "signal %d does not come", signal);
	return info;
}

static int64_t processor_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_pending(int signal)
{
	sigset_t set;

	test_must(!sigpending(&set));
	return sigismember(&set, signal);
}

/* Its processor time is another's, and the timer must count on with it. */
static void *worker(void *arg)
{
	int id = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, SIGRTMIN + 4, 4);
	int expired = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 5, 5);
	int64_t rest, begin;

	start(id, 50, 0);
	start(expired, 1, PERIOD_MS);
	test_sleep_ms(5);
	__atomic_store_n(&worker_tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	test_wait_for_go();
	test_check(take(SIGRTMIN + 5, 0).si_timerid == expired, "another timer");
	test_check(take(SIGRTMIN + 5, 5 * PERIOD_MS).si_timerid == expired, "another timer");
	test_must(!syscall(SYS_timer_delete, expired));
	/* The kernel looks at such a timer when a tick meets the thread. */
	rest = rest_ms(id);
	begin = processor_ms();
	while (!is_pending(SIGRTMIN + 4) && processor_ms() < begin + 3000)
		;
	test_check(rest > 0 && rest <= 50 && processor_ms() >= begin + rest,
		   "%ld ms were left, and it expires after %ld ms", rest, processor_ms() - begin);
	test_check(take(SIGRTMIN + 4, 0).si_timerid == id, "another timer");
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		test_sleep_ms(2);
	return NULL;
}

static void check_expired(int periodic, int once, int moved)
{
	siginfo_t info = take(SIGRTMIN + 1, 0);
	int64_t phase = rest_ms(periodic);

	test_check(info.si_timerid == periodic && info.si_value.sival_int == 1, "timer %d sends %d",
		   info.si_timerid, info.si_value.sival_int);
	test_check(phase >= 0 && phase <= PERIOD_MS, "%ld ms to the next expiry", phase);
	/* Tied to its signal: it goes on when that is taken, and does not queue a second one. */
	take(SIGRTMIN + 1, 5 * PERIOD_MS);
	test_sleep_ms(3 * PERIOD_MS + 5);
	info = take(SIGRTMIN + 1, 0);
	test_check(info.si_overrun >= 1, "overrun %d", info.si_overrun);
	test_must(!syscall(SYS_timer_delete, periodic));
	test_check(take(SIGRTMIN + 2, 0).si_timerid == once && !rest_ms(once), "one that is over");
	test_check(rest_ms(moved) > LONG_S * 900, "rest %ld ms", rest_ms(moved));
}

int main(int argc, char **argv)
{
	int ids[MANY], periodic, once, moved, fresh;
	pthread_t thread;
	sigset_t blocked;

	test_init(argc, argv);
	sigfillset(&blocked);
	test_must(!sigprocmask(SIG_BLOCK, &blocked, NULL));
	for (int i = 0; i < MANY; i++)
		ids[i] = make(i & 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN, i);
	for (int i = 0; i < MANY; i++) {
		if (i % 3 == 1)
			test_must(!syscall(SYS_timer_delete, ids[i]));
		else if (i % 3 == 2)
			start(ids[i], LONG_S * 1000ll + 1000 * i, 0);
	}
	periodic = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 1);
	start(periodic, 1, PERIOD_MS);
	once = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 2, 2);
	start(once, 1, 0);
	moved = make(CLOCK_BOOTTIME, SIGEV_NONE, 0, 3);
	start(moved, LONG_S * 1000ll, 0);
	test_must(!pthread_create(&thread, NULL, worker, NULL));
	test_wait_until(__atomic_load_n(&worker_tid, __ATOMIC_SEQ_CST), "no thread");
	test_sleep_ms(5);

	test_checkpoint_here();

	for (int i = 0; i < MANY; i++) {
		int64_t rest;

		if (i % 3 == 1)
			continue;
		rest = rest_ms(ids[i]);
		test_check(i % 3 ? rest <= LONG_S * 1000ll + 1000 * i &&
					   rest > LONG_S * 1000ll + 1000 * i - 100000 : !rest,
			   "timer %d: rest %ld ms", ids[i], rest);
	}
	check_expired(periodic, once, moved);
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	test_must(!pthread_join(thread, NULL));
	fresh = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3, 5);
	start(fresh, 1, 0);
	test_check(take(SIGRTMIN + 3, 900).si_timerid == fresh, "a new timer");
	test_pass();
}
