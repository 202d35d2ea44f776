/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pidfd goes on naming its process: the own one, a child, a zombie. */
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "testing.h"

static int is_over(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	test_must(poll(&poller, 1, 0) >= 0);
	return poller.revents & POLLIN;
}

int main(int argc, char **argv)
{
	int own, child, dead;
	pid_t child_pid, dead_pid;
	siginfo_t info = { 0 };

	test_init(argc, argv);
	test_must((child_pid = fork()) >= 0);
	if (!child_pid) {
		test_sleep_ms(600000);
		_exit(0);
	}
	test_must((dead_pid = fork()) >= 0);
	if (!dead_pid)
		_exit(23);
	test_must((own = pidfd_open(getpid(), 0)) >= 0);
	test_must((child = pidfd_open(child_pid, O_NONBLOCK)) >= 0);
	test_must((dead = pidfd_open(dead_pid, 0)) >= 0);
	test_wait_until(is_over(dead), "the child does not end");

	test_checkpoint_here();

	test_check(fcntl(own, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_check(fcntl(child, F_GETFL) & O_NONBLOCK, "it blocks now");
	test_check(!is_over(own) && !is_over(child), "a living process is over");
	test_check(is_over(dead), "the zombie lives");
	test_must(!waitid(P_PIDFD, dead, &info, WEXITED));
	test_check(info.si_pid == dead_pid && info.si_status == 23, "pid %d, status %d",
		   info.si_pid, info.si_status);
	test_must(!pidfd_send_signal(child, SIGKILL, NULL, 0));
	test_wait_until(is_over(child), "the child lives on");
	test_check(waitpid(child_pid, NULL, 0) == child_pid, "another process was killed");
	test_must(!pidfd_send_signal(own, 0, NULL, 0));
	test_pass();
}
