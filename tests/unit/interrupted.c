/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that are interrupted by a stop go on as if nothing had been, here and in a new thread. */
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
	TIMEOUT_MS = 400,
	BEFORE_MS = 100,
	HELD_MS = 50,
	EARLY_MS = 15,	/* of our own clock: a child is a little younger than we think */
	LATE_MS = 150,
	NS_PER_MS = 1000000,
};

static const struct timespec timeout = { .tv_nsec = TIMEOUT_MS * NS_PER_MS };

static long call_sleep(void)
{
	return syscall(SYS_nanosleep, &timeout, NULL);
}

static long call_sleep_rest(void)
{
	struct timespec rest;

	return syscall(SYS_nanosleep, &timeout, &rest);
}

static long call_clock_sleep(void)
{
	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &timeout, NULL);
}

static long call_clock_sleep_rest(void)
{
	struct timespec rest;

	return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &timeout, &rest);
}

static long call_poll(void)
{
	return syscall(SYS_poll, NULL, 0, TIMEOUT_MS);
}

static long call_futex(void)
{
	int word = 7;

	return syscall(SYS_futex, &word, FUTEX_WAIT, 7, &timeout, NULL, 0);
}

static long call_futex_until(void)
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

static long call_ppoll(void)
{
	struct timespec rest = timeout;

	return syscall(SYS_ppoll, NULL, 0, &rest, NULL, 0);
}

static long call_epoll(void)
{
	struct epoll_event got;

	return syscall(SYS_epoll_wait, epoll_create1(0), &got, 1, TIMEOUT_MS);
}

static long call_semaphore(void)
{
	int set = semget(IPC_PRIVATE, 1, 0600), error;
	struct sembuf take = { .sem_op = -1 };
	long result = semtimedop(set, &take, 1, &timeout);

	error = errno;
	semctl(set, 0, IPC_RMID);
	errno = error;
	return result;
}

static long call_sigwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &timeout);
}

static long call_receive(void)
{
	struct timeval wait = { .tv_usec = TIMEOUT_MS * 1000 };
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		return -2;
	return recv(pair[0], &byte, 1, 0);
}

static long call_poll_untimed(void)
{
	return syscall(SYS_poll, NULL, 0, -1);
}

static long call_inotify(void)
{
	char events[256];

	return read(inotify_init1(0), events, sizeof(events));
}

static long call_pause(void)
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

struct verdict {
	long result;
	int error, elapsed_ms;
};

struct child {
	const struct call *call;
	int verdict;	/* pipe */
	struct dump dump;
	struct dump_task task;
	struct dump_thread thread;
	struct vma_list maps;
	struct gadget_cache gadgets;
};

static void handler(int signal)
{
}

static void run_child(const struct call *call, int out)
{
	struct sigaction caught = { .sa_handler = handler };
	uint64_t begin = now_ns();
	struct verdict v;

	alarm(5);
	sigaction(SIGUSR1, &caught, NULL);
	v.result = call->run();
	v.error = v.result < 0 ? errno : 0;
	v.elapsed_ms = (now_ns() - begin) / NS_PER_MS;
	_exit(write(out, &v, sizeof(v)) != sizeof(v));
}

static void must(int failed, const struct error *err)
{
	if (failed)
		fail_msg("%s", err->message);
}

static void hold(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };
	struct tracee *held = &c->thread.tracee;

	tracee_release(held);
	must(tracee_seize(held, c->task.pid, c->task.pid, 0, &err) ||
		     tracee_interrupt(held, &err) || tracee_wait_stopped(held, 1000, &err) ||
		     tracee_save(held, &err),
	     &err);
}

static void start(struct child *c, const struct call *call)
{
	int ends[2];

	memset(c, 0, sizeof(*c));
	c->call = call;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	c->task.pid = fork();
	if (!c->task.pid)
		run_child(call, ends[1]);
	close(ends[1]);
	c->verdict = ends[0];
	c->task.dump = &c->dump;
	c->thread.task = &c->task;
	c->thread.tid = c->task.pid;
}

/* One for each call, all held. */
static void start_all(struct child all[CALLS])
{
	for (int i = 0; i < CALLS; i++)
		start(&all[i], &calls[i]);
	usleep(BEFORE_MS * 1000);
	for (int i = 0; i < CALLS; i++)
		hold(&all[i]);
}

static void let_go(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };

	must(tracee_detach(&c->thread.tracee, &err), &err);
}

static struct verdict finish(struct child *c)
{
	struct verdict v = { 0 };
	int status;

	assert_int_equal(read(c->verdict, &v, sizeof(v)), sizeof(v));
	assert_int_equal(waitpid(c->task.pid, &status, 0), c->task.pid);
	close(c->verdict);
	restart_reader_close(&c->dump.restarts);
	gadget_cache_release(&c->gadgets);
	vma_list_release(&c->maps);
	tracee_release(&c->thread.tracee);
	return v;
}

static void expect_end(struct child *c, int after_ms)
{
	struct verdict v = finish(c);

	if (v.error != c->call->error)
		fail_msg("%s ends with %s", c->call->name, strerror(v.error));
	if (v.elapsed_ms < after_ms - (after_ms == TIMEOUT_MS ? 1 : EARLY_MS) ||
	    v.elapsed_ms > after_ms + LATE_MS)
		fail_msg("%s ends after %d ms, not %d", c->call->name, v.elapsed_ms, after_ms);
}

/* ---- tests ---- */

static void plan_site(struct child *c, struct agent_site *ret)
{
	_cleanup_error_ struct error err = { 0 };
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", c->task.pid);
	_cleanup_fd_ int dir = open(path, O_PATH | O_CLOEXEC);
	must(proc_read_maps(dir, &c->maps, &err), &err);
	*ret = (struct agent_site){ .maps = &c->maps, .gadgets = &c->gadgets };
}

/* Something else is done by the thread while its call waits. */
static void disturb(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };
	struct agent_site site;
	int64_t result;

	plan_site(c, &site);
	must(agent_call_once(&c->thread.tracee, &site, &result, &err, SYS_getpid,
			     (const uint64_t[6]){ 0 }),
	     &err);
	assert_int_equal(result, c->task.pid);
}

static void expect_eintr(struct child *c)
{
	struct verdict v;

	v = finish(c);
	if (v.error != EINTR || v.elapsed_ms > BEFORE_MS + 2 * HELD_MS + LATE_MS)
		fail_msg("%s ends with %s after %d ms", c->call->name, strerror(v.error),
			 v.elapsed_ms);
}

static void end_untimed(struct child all[CALLS])
{
	struct child *c;

	usleep(HELD_MS * 1000);
	for_each(c, all) {
		if (c->call->after != UNTIMED)
			continue;
		kill(c->task.pid, SIGUSR1);
		expect_eintr(c);
	}
}

/* Also when it is stopped again, and calls are made in it meanwhile. */
static void goes_on(void **state)
{
	struct child all[CALLS], *c;

	start_all(all);
	for_each(c, all)
		disturb(c);
	for_each(c, all)
		let_go(c);
	usleep(HELD_MS * 1000);
	for_each(c, all)
		hold(c);
	for_each(c, all)
		let_go(c);
	end_untimed(all);
	for_each(c, all)
		if (c->call->after != UNTIMED)
			expect_end(c, c->call->after == ANEW ? TIMEOUT_MS + BEFORE_MS + HELD_MS :
							       TIMEOUT_MS);
}

/* A signal with a handler that comes while the thread is held ends the call, as it does without
 * us: a program may rely on it. */
static void ends_by_a_signal(void **state)
{
	struct child all[CALLS], *c;

	start_all(all);
	for_each(c, all) {
		kill(c->task.pid, SIGUSR1);
		let_go(c);
	}
	for_each(c, all)
		expect_eintr(c);
}

static void expect_rest(struct child *c, int after_ms)
{
	struct arch_regs regs = c->thread.tracee.saved;
	TimedWait wait;
	bool known = interrupted_take(&c->thread, &regs, &wait);
	int64_t wanted = TIMEOUT_MS - after_ms, found = wait.remaining_ns / NS_PER_MS;

	if (known != c->call->has_block)
		fail_msg("%s: the rest is %sknown", c->call->name, known ? "" : "un");
	if (known && (found > wanted + EARLY_MS || found < wanted - LATE_MS))
		fail_msg("%s: the rest is %ld ms, not %ld", c->call->name, found, wanted);
	if (!known && arch_interrupted(&regs) == ARCH_RESTART_BLOCK)
		fail_msg("%s would return EINTR", c->call->name);
}

/* In a thread stopped for the second time the registers do not say which call it is. */
static void knows_the_rest(void **state)
{
	struct child all[CALLS], *c;

	if (!feature_works("restart-block"))
		skip();
	start_all(all);
	for_each(c, all)
		expect_rest(c, BEFORE_MS);
	for_each(c, all)
		let_go(c);
	usleep(HELD_MS * 1000);
	for_each(c, all)
		hold(c);
	for_each(c, all)
		expect_rest(c, BEFORE_MS + HELD_MS);
	for_each(c, all) {
		kill(c->task.pid, SIGUSR1);
		let_go(c);
		finish(c);
	}
}

/* Without the reader only what the kernel leaves in the program's memory is known. What the image
 * would say of the registers is said to the thread itself. */
static void manages_without_the_reader(void **state)
{
	struct child all[CALLS], *c;
	bool known[CALLS];

	setenv("CRIU_LITE_WITHOUT", "restart-block", 1);
	start_all(all);
	for_each(c, all) {
		struct tracee *held = &c->thread.tracee;
		bool expected = c->call->run == call_sleep_rest ||
				c->call->run == call_clock_sleep_rest;
		struct arch_regs regs = held->saved;
		TimedWait wait;

		known[c - all] = interrupted_take(&c->thread, &regs, &wait);
		assert_int_equal(known[c - all], expected);
		held->hijacked = true;
		if (expected)
			assert_in_range(wait.remaining_ns / NS_PER_MS,
					TIMEOUT_MS - BEFORE_MS - LATE_MS,
					TIMEOUT_MS - BEFORE_MS + EARLY_MS);
		else
			held->saved = regs;
		assert_true(expected || arch_interrupted(&regs) != ARCH_RESTART_BLOCK);
		let_go(c);
	}
	unsetenv("CRIU_LITE_WITHOUT");
	end_untimed(all);
	for_each(c, all)
		if (c->call->after != UNTIMED)
			expect_end(c, known[c - all] || c->call->run == call_futex_until ||
						      c->call->run == call_ppoll ?
					      TIMEOUT_MS :
					      TIMEOUT_MS + BEFORE_MS);
}

/* A thread whose kernel knows nothing gets into the call for the rest: here for another rest than
 * its own. */
static void starts_for_the_rest(void **state)
{
	enum { REST_MS = 150 };
	struct child all[CALLS], *c;

	if (!feature_works("restart-block"))
		skip();
	start_all(all);
	for_each(c, all) {
		_cleanup_error_ struct error err = { 0 };
		struct restore_task task = { 0 };
		struct restore_thread thread = { .task = &task };
		struct arch_regs regs = c->thread.tracee.saved;
		struct agent_site site;
		TimedWait wait;

		if (!c->call->has_block) {
			kill(c->task.pid, SIGUSR1);
			let_go(c);
			continue;
		}
		assert_true(interrupted_take(&c->thread, &regs, &wait));
		plan_site(c, &site);
		must(agent_plan(&task.agent, &site, &err) ||
			     agent_install(&task.agent, &c->thread.tracee, &site, &err),
		     &err);
		wait.remaining_ns = REST_MS * NS_PER_MS;
		thread.tracee = c->thread.tracee;
		must(interrupted_settle(&thread, &wait, &regs, &err) ||
			     tracee_set_sigmask(&thread.tracee, thread.tracee.sigmask, &err) ||
			     tracee_set_regs(&thread.tracee, &regs, &err) ||
			     tracee_detach(&thread.tracee, &err),
		     &err);
		agent_release(&task.agent);
	}
	for_each(c, all) {
		if (c->call->has_block)
			expect_end(c, BEFORE_MS + REST_MS);
		else
			finish(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(ends_by_a_signal),
		cmocka_unit_test(knows_the_rest),
		cmocka_unit_test(manages_without_the_reader),
		cmocka_unit_test(starts_for_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
