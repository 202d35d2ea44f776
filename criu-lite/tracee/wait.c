/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracee/wait.h"

#include <poll.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"

/* The bit that PTRACE_O_TRACESYSGOOD adds to the signal of a syscall stop. */
enum { SYSCALL_STOP_BIT = 0x80 };

/* The low byte of the status of a task that has stopped. */
enum { STOPPED_STATUS = 0x7f };

struct stop stop_decode(int status)
{
	struct stop s = { .code = status };

	if (!WIFSTOPPED(status)) {
		s.kind = STOP_GONE;
		return s;
	}
	s.signal = WSTOPSIG(status);
	s.event = status >> 16;
	if (s.event == PTRACE_EVENT_STOP)
		s.kind = s.signal == SIGTRAP ? STOP_EVENT_STOP : STOP_GROUP;
	else if (s.event)
		s.kind = STOP_EVENT;
	else if (s.signal == (SIGTRAP | SYSCALL_STOP_BIT))
		s.kind = STOP_SYSCALL;
	else
		s.kind = STOP_SIGNAL;
	return s;
}

int stop_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return W_EXITCODE(info->si_status, 0);
	case CLD_KILLED:
	case CLD_DUMPED:
		return W_EXITCODE(0, info->si_status);
	}
	return info->si_status << 8 | STOPPED_STATUS;
}

const char *stop_text(const struct stop *s, char *text, size_t size)
{
	switch (s->kind) {
	case STOP_GONE:
		if (WIFSIGNALED(s->code))
			snprintf(text, size, "killed by signal %d", WTERMSIG(s->code));
		else
			snprintf(text, size, "exited with status %d", WEXITSTATUS(s->code));
		break;
	case STOP_SIGNAL:
		snprintf(text, size, "stopped for signal %d", s->signal);
		break;
	case STOP_EVENT_STOP:
		snprintf(text, size, "stopped");
		break;
	case STOP_GROUP:
		snprintf(text, size, "stopped by job control, signal %d", s->signal);
		break;
	case STOP_SYSCALL:
		snprintf(text, size, "stopped at a system call");
		break;
	case STOP_EVENT:
		snprintf(text, size, "stopped for ptrace event %d", s->event);
		break;
	}
	return text;
}

int child_reap(pid_t child, int *ret_status, int *ret_signal)
{
	int status;
	pid_t got = waitpid(child, &status, WNOHANG | WUNTRACED);

	if (got <= 0)
		return got;
	if (WIFSTOPPED(status))
		return 2;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	*ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return 1;
}

void child_forget(pid_t child)
{
	waitpid(child, NULL, WNOHANG | __WALL);
}

void child_await(pid_t child, int timeout_ms)
{
	struct pollfd ended = { .fd = sys_pidfd_open(child, 0), .events = POLLIN };

	if (ended.fd >= 0)
		poll(&ended, 1, timeout_ms);
	fd_close(&ended.fd);
	child_forget(child);
}
