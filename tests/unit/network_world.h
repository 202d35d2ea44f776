/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_WORLD_H
#define CL_NETWORK_WORLD_H

/* Network namespaces to try things in. */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "network/netns.h"

#define must(expression)                                                              \
	do {                                                                          \
		struct error err = ERROR_INIT;                                        \
		if (expression)                                                       \
			fail_msg("%s: %s", #expression, err.message ? err.message : "?"); \
		error_clear(&err);                                                    \
	} while (0)

/* Runs a command of the shell in a namespace (-1: where we are). */
__attribute__((format(printf, 2, 3))) static void run_in(int netns, const char *fmt, ...)
{
	char command[1000];
	va_list args;
	int back;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	must(netns_enter(netns, &back, &err));
	if (system(command))
		fail_msg("failed: %s", command);
	must(netns_leave(&back, &err));
}

/* A descriptor of a new namespace, with lo up. */
__attribute__((unused)) static int new_namespace(void)
{
	int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), made;

	assert_true(here >= 0 && !unshare(CLONE_NEWNET));
	made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(made >= 0 && !setns(here, CLONE_NEWNET));
	close(here);
	run_in(made, "ip link set lo up");
	return made;
}

/* Makes an interface `name` with this address in a namespace; its other end is here, is called
 * `other`, and is up. */
__attribute__((unused)) static void add_link(int netns, const char *name, const char *other,
					     const char *mac)
{
	run_in(-1,
	       "ip link add %s type veth peer name %s address %s netns /proc/%d/fd/%d && "
	       "ip link set %s up",
	       other, name, mac, getpid(), netns, other);
	run_in(netns, "ip link set %s up", name);
}

/* Whether a command's output holds a text within two seconds. */
__attribute__((unused)) static bool shows(int netns, const char *command, const char *text)
{
	char output[4096];

	for (int tries = 0; tries < 100; tries++) {
		FILE *pipe;
		size_t n;
		int back;

		must(netns_enter(netns, &back, &err));
		pipe = popen(command, "r");
		assert_non_null(pipe);
		n = fread(output, 1, sizeof(output) - 1, pipe);
		output[n] = 0;
		pclose(pipe);
		must(netns_leave(&back, &err));
		if (strstr(output, text))
			return true;
		usleep(20000);
	}
	print_message("%s: %s", command, output);
	return false;
}

/* Of a group of tests: they are in a namespace of their own from now on. */
__attribute__((unused)) static int leave_the_machine(void **state)
{
	(void)state;
	return geteuid() || unshare(CLONE_NEWNET) || system("ip link set lo up") ? -1 : 0;
}

#endif
