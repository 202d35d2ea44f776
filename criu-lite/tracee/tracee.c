/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracee/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/calls.h"
#include "proc/status.h"
#include "tracee/internal.h"
#include "tracee/wait.h"

enum {
	SPINS_BEFORE_SLEEP = 100,
	SLEEP_NS = 50 * 1000,
};

/* Turns the errno of a ptrace call into an error: a task that is gone is its own outcome. */
int tracee_error(const struct tracee *t, int os_error, struct error *err, const char *what)
{
	if (os_error == ESRCH)
		return error_set(err, ERROR_DIED, 0, "task %d died while it was held (%s)", t->tid,
				 what);
	return error_set(err, ERROR_TARGET, os_error, "task %d: %s", t->tid, what);
}

/* A guard holds for a moment what its dead controller has left. */
static bool is_guard(pid_t pid)
{
	_cleanup_buffer_ struct buffer comm = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	return !read_file_at(-1, path, &comm) && !strcmp(comm.data, TRACEE_GUARD_NAME "\n");
}

/* Why a task could not be seized: EPERM has many causes. */
static int seize_error(const struct tracee *t, int os_error, struct error *err)
{
	_cleanup_proc_status_ struct proc_status status = { 0 };
	_cleanup_error_ struct error unknown = ERROR_INIT;
	_cleanup_fd_ int dir = -1;

	if (os_error != EPERM)
		return tracee_error(t, os_error, err, "cannot attach");
	dir = proc_open(t->tid);
	if (proc_read_status(dir, &status, &unknown))
		return tracee_error(t, unknown.kind == ERROR_DIED ? ESRCH : os_error, err,
				    "cannot attach");
	if (status.state == 'Z' || status.state == 'X')
		return tracee_error(t, ESRCH, err, "it has exited");
	if (status.tracer_pid) {
		if (is_guard(status.tracer_pid)) {
			error_set(
				err, ERROR_TARGET, 0,
				"task %d is just being repaired after a checkpoint that was killed",
				t->tid);
			err->os_error = EBUSY;
			return error_hint(err, "try again later");
		}
		error_set(err, ERROR_TARGET, 0, "task %d is already traced by process %d", t->tid,
			  status.tracer_pid);
		return error_hint(err, "end the debugger or tracer first");
	}
	tracee_error(t, os_error, err, "cannot attach");
	return error_hint(err, "run criu-lite as root");
}

int tracee_seize(struct tracee *t, pid_t tid, pid_t tgid, int options, struct error *err)
{
	unsigned long flags = PTRACE_O_TRACESYSGOOD;

	*t = (struct tracee){
		.tid = tid,
		.tgid = tgid,
		.seccomp_off = options & TRACEE_SECCOMP_OFF,
	};
	if (options & TRACEE_PUPPET)
		flags |= PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			 PTRACE_O_TRACEVFORK;
	if (options & TRACEE_SECCOMP_OFF)
		flags |= PTRACE_O_SUSPEND_SECCOMP;
	if (ptrace(PTRACE_SEIZE, tid, 0, flags) == 0)
		return 0;
	return seize_error(t, errno, err);
}

int tracee_follow(struct tracee *t, bool children, bool dies_with_us, struct error *err)
{
	unsigned long flags = PTRACE_O_TRACESYSGOOD;

	if (t->seccomp_off)
		flags |= PTRACE_O_SUSPEND_SECCOMP;
	if (children)
		flags |= PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	if (dies_with_us)
		flags |= PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SETOPTIONS, t->tid, 0, flags))
		return tracee_error(t, errno, err, "cannot set options");
	return 0;
}

int tracee_interrupt(struct tracee *t, struct error *err)
{
	if (ptrace(PTRACE_INTERRUPT, t->tid, 0, 0))
		return tracee_error(t, errno, err, "cannot interrupt");
	return 0;
}

/* Takes one wait status in. */
static int note_stop(struct tracee *t, int status, struct stop *ret, struct error *err)
{
	*ret = stop_decode(status);
	t->held = ret->kind != STOP_GONE;
	if (ret->kind == STOP_GONE) {
		char text[64];

		return error_set(err, ERROR_DIED, 0, "task %d %s while it was held", t->tid,
				 stop_text(ret, text, sizeof(text)));
	}
	return 0;
}

int tracee_wait(struct tracee *t, struct stop *ret, struct error *err)
{
	int status;

	while (waitpid(t->tid, &status, __WALL | __WNOTHREAD) < 0)
		if (errno != EINTR)
			return tracee_error(t, errno == ECHILD ? ESRCH : errno, err, "wait");
	return note_stop(t, status, ret, err);
}

/* Polls for the next stop, which is only looked at: what is not waited for, the kernel still
 * delivers if we die. */
static int look_for_stop(const struct tracee *t, uint64_t deadline, int *ret_status,
			 struct error *err)
{
	const int options = WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD;
	siginfo_t info;
	int spins;

	for (spins = 0;; spins++) {
		info.si_pid = 0;
		if (waitid(P_PID, t->tid, &info, options) && errno != EINTR)
			return tracee_error(t, errno == ECHILD ? ESRCH : errno, err, "wait");
		if (info.si_pid)
			break;
		if (spins < SPINS_BEFORE_SLEEP) {
			sched_yield();
		} else if (now_ns() > deadline) {
			error_set(err, ERROR_TARGET, 0, "task %d does not stop", t->tid);
			err->os_error = ETIMEDOUT;
			return error_hint(err, "it waits in the kernel or for a vfork child; "
					       "try again later");
		} else {
			nanosleep(&(struct timespec){ .tv_nsec = SLEEP_NS }, NULL);
		}
	}
	*ret_status = stop_status(&info);
	return 0;
}

int tracee_wait_stopped(struct tracee *t, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + (uint64_t)timeout_ms * 1000000;
	struct stop stop;
	int status = 0;

	for (;;) {
		if (look_for_stop(t, deadline, &status, err))
			return -1;
		stop = stop_decode(status);
		if (stop.kind != STOP_SIGNAL)
			break;
		/* A signal that was on its way takes its course. Its stop has taken the request
		 * for ours with it, as any stop does; made again, it is obeyed before the program
		 * runs. */
		if (tracee_interrupt(t, err) || tracee_continue(t, stop.signal, err))
			return -1;
	}
	if (tracee_wait(t, &stop, err))
		return -1;
	t->group_stopped = stop.kind == STOP_GROUP;
	t->group_signal = t->group_stopped ? stop.signal : 0;
	return 0;
}

int tracee_continue(struct tracee *t, int signal, struct error *err)
{
	if (ptrace(PTRACE_CONT, t->tid, 0, signal))
		return tracee_error(t, errno, err, "cannot continue");
	t->held = false;
	return 0;
}

int tracee_to_syscall(struct tracee *t, struct error *err)
{
	struct stop stop;

	do {
		if (ptrace(PTRACE_SYSCALL, t->tid, 0, 0))
			return tracee_error(t, errno, err, "cannot run to a system call");
		if (tracee_wait(t, &stop, err))
			return -1;
		if (stop.kind == STOP_SIGNAL)
			t->requeue |= 1ull << (stop.signal - 1);
	} while (stop.kind != STOP_SYSCALL);
	return 0;
}

int tracee_detach(struct tracee *t, struct error *err)
{
	int signal;

	if (tracee_restore(t, err))
		return -1;
	/* Sent while it is still stopped, so that it meets them first when it runs. */
	for (signal = 1; signal <= 64; signal++)
		if (t->requeue >> (signal - 1) & 1)
			sys_tgkill(t->tgid, t->tid, signal);
	t->requeue = 0;
	if (ptrace(PTRACE_DETACH, t->tid, 0, 0))
		return tracee_error(t, errno, err, "cannot detach");
	t->held = false;
	return 0;
}

void tracee_kill(struct tracee *t)
{
	int status;

	if (t->tid <= 0)
		return;
	sys_tgkill(t->tgid, t->tid, SIGKILL);
	while (waitpid(t->tid, &status, __WALL | __WNOTHREAD) > 0 &&
	       stop_decode(status).kind != STOP_GONE)
		ptrace(PTRACE_CONT, t->tid, 0, 0);
	t->held = false;
	t->tid = 0;
}

void tracee_release(struct tracee *t)
{
	free(t->xstate);
	*t = (struct tracee){ 0 };
}
