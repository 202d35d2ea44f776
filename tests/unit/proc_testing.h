/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_UNIT_PROC_TESTING_H
#define CL_TESTS_UNIT_PROC_TESTING_H

/* What the tests of the /proc parsers share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Calls proc_parse_*() with a whole string. */
#define parse(parser, text, ret, err) parser(text, strlen(text), ret, err)

/* The call succeeded; otherwise shows its error. */
#define assert_parsed(call, err)                                              \
	do {                                                                  \
		if (call)                                                     \
			fail_msg("%s", (err)->message);                       \
		assert_int_equal((err)->kind, ERROR_NONE);                    \
	} while (0)

/* The call failed with this kind and with this piece of text in its message. */
#define assert_fails(call, err, expected_kind, piece)                         \
	do {                                                                  \
		assert_int_equal(call, -1);                                   \
		assert_int_equal((err)->kind, expected_kind);                 \
		if (!strstr((err)->message, piece))                           \
			fail_msg("\"%s\" lacks \"%s\"", (err)->message, piece); \
		error_clear(err);                                             \
	} while (0)

/* The same for a parser of a whole string. */
#define assert_accepted(parser, text, ret, err) assert_parsed(parse(parser, text, ret, err), err)
#define assert_refused(parser, text, ret, err, piece) \
	assert_fails(parse(parser, text, ret, err), err, ERROR_FAILED, piece)

static inline int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* A child that sleeps, and its /proc directory. */
static inline pid_t sleeping_child(int *pid_dir)
{
	char path[32];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "/proc/%d", pid);
	*pid_dir = open_dir(path);
	return pid;
}

/* Kills the child and waits until it is a zombie; reap with waitpid(). */
static inline void make_zombie(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

#endif
