/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_CALL_CASE_H
#define CL_TESTS_CALL_CASE_H

/* Children that wait in one system call each, for tests that stop them there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/features.h"
#include "kinds/task/interrupted.h"
#include "proc/maps.h"

enum {
	TIMEOUT_MS = 900,
	BEFORE_MS = 400,	/* from its start to the first stop */
	BETWEEN_MS = 50,	/* stops */
	LATE_MS = 350,		/* on a busy machine; less than what comes before a stop */
	NS_PER_MS = 1000000,
};

static const struct timespec timeout = { .tv_nsec = TIMEOUT_MS * NS_PER_MS };

static inline long call_sleep(void)
{
	return syscall(SYS_nanosleep, &timeout, NULL);
}

static inline long call_sleep_rest(void)
{
	struct timespec rest;

	return syscall(SYS_nanosleep, &timeout, &rest);
}

static inline long call_clock_sleep(void)
{
	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &timeout, NULL);
}

static inline long call_clock_sleep_rest(void)
{
	struct timespec rest;

	return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &timeout, &rest);
}

static inline long call_poll(void)
{
	return syscall(SYS_poll, NULL, 0, TIMEOUT_MS);
}

static inline long call_futex(void)
{
	int word = 7;

	return syscall(SYS_futex, &word, FUTEX_WAIT, 7, &timeout, NULL, 0);
}

static inline long call_futex_until(void)
{
	struct timespec end;
	int word = 7;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += timeout.tv_nsec;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 7, &end, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

static inline long call_ppoll(void)
{
	struct timespec rest = timeout;

	return syscall(SYS_ppoll, NULL, 0, &rest, NULL, 0);
}

static inline long call_epoll(void)
{
	struct epoll_event got;

	return syscall(SYS_epoll_wait, epoll_create1(0), &got, 1, TIMEOUT_MS);
}

static inline long call_semaphore(void)
{
	int set = semget(IPC_PRIVATE, 1, 0600), error;
	struct sembuf take = { .sem_op = -1 };
	long result = semtimedop(set, &take, 1, &timeout);

	error = errno;
	semctl(set, 0, IPC_RMID);
	errno = error;
	return result;
}

static inline long call_sigwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &timeout);
}

static inline long call_receive(void)
{
	struct timeval wait = { .tv_usec = TIMEOUT_MS * 1000 };
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		return -2;
	return recv(pair[0], &byte, 1, 0);
}

static inline long call_poll_untimed(void)
{
	return syscall(SYS_poll, NULL, 0, -1);
}

static inline long call_inotify(void)
{
	char events[256];

	return read(inotify_init1(0), events, sizeof(events));
}

static inline long call_pause(void)
{
	return syscall(SYS_pause);
}

/* Those that a stop makes wait anew end late by the time before it. */
enum after { REST, ANEW, UNTIMED };

static const struct call {
	const char *name;
	long (*run)(void);
	enum after after;
	int error;	/* at the end of the timeout */
	bool has_block;	/* the kernel keeps the end of its timeout */
} calls[] = {
	{ "nanosleep", call_sleep, REST, 0, true },
	{ "nanosleep with rest", call_sleep_rest, REST, 0, true },
	{ "clock_nanosleep", call_clock_sleep, REST, 0, true },
	{ "clock_nanosleep with rest", call_clock_sleep_rest, REST, 0, true },
	{ "poll", call_poll, REST, 0, true },
	{ "futex", call_futex, REST, ETIMEDOUT, true },
	{ "futex until", call_futex_until, REST, ETIMEDOUT, false },
	{ "ppoll", call_ppoll, REST, 0, false },
	{ "epoll_wait", call_epoll, ANEW, 0, false },
	{ "semtimedop", call_semaphore, ANEW, EAGAIN, false },
	{ "sigtimedwait", call_sigwait, ANEW, EAGAIN, false },
	{ "recv", call_receive, ANEW, EAGAIN, false },
	{ "poll untimed", call_poll_untimed, UNTIMED, 0, false },
	{ "read of inotify", call_inotify, UNTIMED, 0, false },
	{ "pause", call_pause, UNTIMED, 0, false },
};

enum { CALLS = ARRAY_SIZE(calls) };

#define for_each(c, all) for ((c) = (all); (c) < (all) + CALLS; (c)++)

/* ---- a child in a call ---- */

/* What a child tells, in memory shared with it. */
struct told {
	uint64_t begin_ns, end_ns;
	long result;
	int error;
};

struct child {
	const struct call *call;
	struct told *told;
	uint64_t held_ns, gone_ns;	/* when it was stopped and let go, the last time */
	struct dump dump;
	struct dump_task task;
	struct dump_thread thread;
	struct vma_list maps;
	struct gadget_cache gadgets;
};

static inline void handler(int signal)
{
}

static inline void run_child(const struct call *call, struct told *told)
{
	struct sigaction caught = { .sa_handler = handler };

	alarm(8);
	sigaction(SIGUSR1, &caught, NULL);
	__atomic_store_n(&told->begin_ns, now_ns(), __ATOMIC_SEQ_CST);
	told->result = call->run();
	told->error = told->result < 0 ? errno : 0;
	told->end_ns = now_ns();
	_exit(0);
}

static inline void must(int failed, const struct error *err)
{
	if (failed)
		fail_msg("%s", err->message);
}

static inline void hold(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };
	struct tracee *held = &c->thread.tracee;

	tracee_release(held);
	must(tracee_seize(held, c->task.pid, c->task.pid, 0, &err) ||
		     tracee_interrupt(held, &err) || tracee_wait_stopped(held, 5000, &err) ||
		     tracee_save(held, &err),
	     &err);
	interrupted_look(&c->thread);
	c->held_ns = now_ns();
}

static inline void let_go(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };

	c->gone_ns = now_ns();
	must(tracee_detach(&c->thread.tracee, &err), &err);
}

static inline void start(struct child *c, const struct call *call, struct told *told)
{
	memset(c, 0, sizeof(*c));
	c->call = call;
	c->told = told;
	c->task.pid = fork();
	if (!c->task.pid)
		run_child(call, told);
	c->task.dump = &c->dump;
	c->thread.task = &c->task;
	c->thread.tid = c->task.pid;
}

/* One for each call, all of them in it for a while. */
static inline void start_all(struct child all[CALLS])
{
	struct told *told = mmap(NULL, CALLS * sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(told, MAP_FAILED);
	for (int i = 0; i < CALLS; i++)
		start(&all[i], &calls[i], &told[i]);
	for (int i = 0; i < CALLS; i++)
		while (!__atomic_load_n(&told[i].begin_ns, __ATOMIC_SEQ_CST))
			usleep(1000);
	usleep(BEFORE_MS * 1000);
}

static inline void hold_all(struct child all[CALLS])
{
	for (int i = 0; i < CALLS; i++)
		hold(&all[i]);
}

/* Waits until its call and the child have ended. */
static inline void finish(struct child *c)
{
	int status;

	assert_int_equal(waitpid(c->task.pid, &status, 0), c->task.pid);
	if (status)
		fail_msg("%s: the child has wait status %#x", c->call->name, status);
	restart_reader_close(&c->dump.restarts);
	gadget_cache_release(&c->gadgets);
	vma_list_release(&c->maps);
	tracee_release(&c->thread.tracee);
}

static inline void finish_all(struct child all[CALLS])
{
	struct child *c;

	for_each(c, all)
		finish(c);
	munmap(all->told, CALLS * sizeof(*all->told));
}

/* Of a finished one: the call has ended with this error, so long after that moment. */
static inline void expect_end(const struct child *c, int error, uint64_t from_ns, int after_ms)
{
	int64_t took_ms = ((int64_t)c->told->end_ns - (int64_t)from_ns) / NS_PER_MS;

	if (c->told->error != error)
		fail_msg("%s ends with %s", c->call->name, strerror(c->told->error));
	if (took_ms < after_ms || took_ms > after_ms + LATE_MS)
		fail_msg("%s ends after %ld ms, not %d", c->call->name, took_ms, after_ms);
}

static inline void plan_site(struct child *c, struct agent_site *ret)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_fd_ int dir = proc_open(c->task.pid);

	must(proc_read_maps(dir, &c->maps, &err), &err);
	*ret = (struct agent_site){ .maps = &c->maps, .gadgets = &c->gadgets };
}

/* In a process of its own: takes the child over and ends in the middle of it, after this
 * signal to it, if any. */
static inline void die_with(struct child *c, int signal)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_batch_ struct batch b = { 0 };
	struct agent_site site;
	struct agent agent;

	hold(c);
	plan_site(c, &site);
	must(agent_plan(&agent, &site, &err) ||
		     agent_install(&agent, &c->thread.tracee, &site, &err),
	     &err);
	batch_start(&b, &agent);
	batch_must(&b, SYS_getpid);
	must(agent_run(&agent, &c->thread.tracee, &b, &err), &err);
	if (signal)
		kill(c->task.pid, signal);
	kill(getpid(), SIGKILL);
}

#endif
