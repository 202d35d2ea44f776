/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracee/features.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Younger than the headers of Debian 12. */
#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

/* Asks something of a held child; 0 or an errno value. */
typedef int (*question)(pid_t child);

/* A child that waits for its end, seized with these options and stopped, is asked. */
static int ask_child(unsigned long options, question ask)
{
	pid_t child = fork();
	int r = 0, status;

	if (child < 0)
		return errno;
	if (child == 0)
		for (;;)
			pause();
	if (ptrace(PTRACE_SEIZE, child, 0, options) || ptrace(PTRACE_INTERRUPT, child, 0, 0) ||
	    waitpid(child, &status, __WALL) != child)
		r = errno;
	if (!r && ask)
		r = ask(child);
	kill(child, SIGKILL);
	while (waitpid(child, &status, __WALL) < 0 && errno == EINTR)
		;
	/* The first status may have been a stop. */
	if (WIFSTOPPED(status))
		waitpid(child, &status, __WALL);
	return r;
}

static int probe_seize(void)
{
	return ask_child(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD, NULL);
}

static int ask_rseq(pid_t child)
{
	struct __ptrace_rseq_configuration config;

	return ptrace(PTRACE_GET_RSEQ_CONFIGURATION, child, sizeof(config), &config) < 0 ? errno
											 : 0;
}

static int probe_rseq(void)
{
	return ask_child(0, ask_rseq);
}

static int probe_suspend_seccomp(void)
{
	return ask_child(PTRACE_O_SUSPEND_SECCOMP, NULL);
}

/* A child without filters: ENOENT says that the request is known. */
static int ask_seccomp_filter(pid_t child)
{
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, child, 0, NULL) >= 0)
		return 0;
	return errno == ENOENT || errno == EINVAL ? 0 : errno;
}

static int probe_seccomp_filter(void)
{
	return ask_child(0, ask_seccomp_filter);
}

static int ask_dispatch(pid_t child)
{
	uint64_t config[4];

	return ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, child, sizeof(config), config) < 0 ?
		       errno : 0;
}

static int probe_dispatch(void)
{
	return ask_child(0, ask_dispatch);
}

const struct feature tracee_features[] = {
	{ "ptrace-seize", "holding tasks without a signal", NULL, "3.8", probe_seize },
	{ "ptrace-rseq", "restartable sequences", NULL, "5.13", probe_rseq },
	{ "ptrace-suspend-seccomp", "programs with seccomp filters", "such programs are refused",
	  "4.3", probe_suspend_seccomp },
	{ "ptrace-seccomp-filter", "saving seccomp filters", "such programs are refused", "4.4",
	  probe_seccomp_filter },
	{ "ptrace-syscall-dispatch", "programs with syscall user dispatch",
	  "nobody can tell: such programs lose it", "6.4", probe_dispatch },
};

const size_t tracee_features_count = sizeof(tracee_features) / sizeof(tracee_features[0]);
