/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/task/interrupted.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "proc/syscall.h"
#include "proc/tasks.h"

enum {
	NS_PER_S = 1000000000,
	NS_PER_MS = 1000000,
	CLOCKS_MAX = 4096,	/* clock ids are below, addresses above */
};

/* ---- dump ---- */

/* Whether the process is one thread that does something else than to wait for a time. */
static bool needs_no_reader(int proc_dir)
{
	_cleanup_pid_list_ struct pid_list threads = { 0 };
	_cleanup_error_ struct error unreadable = ERROR_INIT;
	struct proc_syscall call;

	if (proc_list_tasks(proc_dir, &threads, &unreadable) || threads.pids.count > 1 ||
	    proc_read_syscall(proc_dir, &call, &unreadable))
		return false;
	if (call.state != PROC_SYSCALL_BLOCKED)
		return true;
	switch (call.number) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_poll:
	case SYS_futex:
	case SYS_restart_syscall:
		return false;
	}
	return true;
}

void interrupted_prepare(struct dump *d, pid_t root, bool alone)
{

	_cleanup_fd_ int dir = proc_open(root);
	if (!alone || !needs_no_reader(dir))
		restart_reader_open(&d->restarts);
}

static bool is_sleep(const struct restart_block *block, long call, const uint64_t a[6])
{
	return (call == SYS_nanosleep || call == SYS_clock_nanosleep) &&
	       (!block->address || block->address == a[call == SYS_nanosleep ? 1 : 3]);
}

/* Which call a block belongs to, by the arguments that are still in the registers: the number in
 * them is that of restart_syscall(2) if it was interrupted before. 0: the block is not about what
 * the registers say. */
static long call_of(const struct restart_block *block, long number, const uint64_t a[6])
{
	bool again = number == SYS_restart_syscall;

	switch (block->call) {
	case RESTART_SLEEP:
		/* The first argument of one is an address, that of the other a small number. */
		if (again)
			number = a[0] < CLOCKS_MAX ? SYS_clock_nanosleep : SYS_nanosleep;
		return is_sleep(block, number, a) ? number : 0;
	case RESTART_POLL:
		if ((again || number == SYS_poll) && block->address == a[0] &&
		    block->value == (uint32_t)a[1])
			return SYS_poll;
		return 0;
	case RESTART_FUTEX:
		if ((again || number == SYS_futex) && block->address == a[0] &&
		    block->value == (uint32_t)a[2])
			return SYS_futex;
		return 0;
	case RESTART_OTHER:
		return 0;
	}
	return 0;
}

void interrupted_look(struct dump_thread *t)
{
	const struct arch_regs *regs = &t->tracee.saved;
	uint64_t a[6];
	int unknown;

	t->restart = (struct restart_block){ 0 };
	t->tracee.call = 0;
	if (arch_interrupted(regs) != ARCH_RESTART_BLOCK)
		return;
	unknown = restart_reader_read(&t->task->dump->restarts, t->tid, &t->restart);
	if (unknown)
		log_debug("task %d: the rest of its timeout is unknown: %s", t->tid,
			  strerror(unknown));
	arch_call_arguments(regs, a);
	if (arch_call_number(regs) == SYS_restart_syscall)
		t->tracee.call = call_of(&t->restart, SYS_restart_syscall, a);
}

static bool is_futex_wait(const uint64_t a[6])
{
	return (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
}

static bool take_block(const struct restart_block *block, long number, const uint64_t a[6],
		       struct arch_regs *regs, TimedWait *ret)
{
	/* Without a timeout, or until a point in time: starting anew is the same. */
	if (!block->timed || (block->call == RESTART_FUTEX && !is_futex_wait(a))) {
		arch_restart(regs, number);
		return false;
	}
	ret->remaining_ns = block->remaining_ns > 0 ? block->remaining_ns : 0;
	switch (block->call) {
	case RESTART_SLEEP:
		ret->call = TIMED_WAIT__CALL__SLEEP;
		ret->has_clock = ret->has_rest_address = true;
		ret->clock = block->clock;
		ret->rest_address = block->address;
		break;
	case RESTART_POLL:
		ret->call = TIMED_WAIT__CALL__POLL;
		break;
	case RESTART_FUTEX:
		ret->call = TIMED_WAIT__CALL__FUTEX;
		break;
	case RESTART_OTHER:
		return false;
	}
	return true;
}

/* A sleep that is stopped also leaves its rest in the memory that the program gave for it. */
static bool take_rest(const struct dump_thread *t, long number, const uint64_t a[6],
		      TimedWait *ret)
{
	struct error unreadable = ERROR_INIT;
	struct timespec rest;

	if (number != SYS_nanosleep && number != SYS_clock_nanosleep)
		return false;
	ret->call = TIMED_WAIT__CALL__SLEEP;
	ret->has_clock = ret->has_rest_address = true;
	ret->clock = number == SYS_nanosleep ? CLOCK_MONOTONIC : (int)a[0];
	ret->rest_address = number == SYS_nanosleep ? a[1] : a[3];
	if (!ret->rest_address ||
	    tracee_read(&t->tracee, ret->rest_address, &rest, sizeof(rest), &unreadable)) {
		error_clear(&unreadable);
		return false;
	}
	ret->remaining_ns = rest.tv_sec * (uint64_t)NS_PER_S + rest.tv_nsec;
	return true;
}

bool interrupted_take(const struct dump_thread *t, struct arch_regs *regs, TimedWait *ret)
{
	long number = arch_call_number(regs), call;
	uint64_t a[6];

	*ret = (TimedWait)TIMED_WAIT__INIT;
	if (arch_interrupted(regs) != ARCH_RESTART_BLOCK)
		return false;
	arch_call_arguments(regs, a);
	call = call_of(&t->restart, number, a);
	if (call)
		return take_block(&t->restart, call, a, regs, ret);
	if (take_rest(t, number, a, ret))
		return true;
	if (number == SYS_restart_syscall)
		arch_end_call(regs, -EINTR);
	else
		arch_restart(regs, number);
	return false;
}

/* ---- restore ---- */

/* Rounded up: a wait may end late by that, but not early. */
static int milliseconds(uint64_t ns)
{
	uint64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);

	return ms < INT_MAX ? ms : INT_MAX;
}

static long wait_call(const struct arch_regs *regs, const TimedWait *wait, uint64_t request,
		      uint64_t a[6])
{
	arch_call_arguments(regs, a);
	switch (wait->call) {
	case TIMED_WAIT__CALL__POLL:
		a[2] = milliseconds(wait->remaining_ns);
		return SYS_poll;
	case TIMED_WAIT__CALL__FUTEX:
		a[3] = request;
		return SYS_futex;
	default:
		a[0] = wait->clock;
		a[1] = 0;
		a[2] = request;
		a[3] = wait->rest_address;
		return SYS_clock_nanosleep;
	}
}

/* Stopped at the entry and told to stop again, the thread gets into the call, finds that it is to
 * stop, and leaves it as interrupted. */
int interrupted_settle(struct restore_thread *t, const TimedWait *wait, struct arch_regs *regs,
		       struct error *err)
{
	struct agent *agent = &t->task->agent;
	struct timespec request = { wait->remaining_ns / NS_PER_S, wait->remaining_ns % NS_PER_S };
	struct arch_regs live = t->tracee.saved;
	struct stop stop;
	uint64_t a[6];
	long number = wait_call(regs, wait, agent_data_address(agent), a);

	if (tracee_write(&t->tracee, agent_data_address(agent), &request, sizeof(request), err))
		return -1;
	arch_call_regs(&live, agent->address + arch_agent_call_offset(), 0, number, a);
	if (tracee_set_regs(&t->tracee, &live, err) || tracee_set_sigmask(&t->tracee, ~0ull, err) ||
	    tracee_to_syscall(&t->tracee, err) || tracee_interrupt(&t->tracee, err) ||
	    tracee_continue(&t->tracee, 0, err) || tracee_wait(&t->tracee, &stop, err) ||
	    tracee_get_regs(&t->tracee, &live, err))
		return -1;
	if (arch_interrupted(&live) != ARCH_RESTART_BLOCK)
		arch_end_call(regs, arch_call_result(&live));
	return 0;
}
