/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent-death signal stays set, and still comes when the parent dies. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing.h"

static volatile sig_atomic_t parent_died;

static void on_death(int signal)
{
	parent_died++;
}

/* The grandchild tells by a file that all was well. */
static void be_grandchild(void)
{
	int signal = 0;

	test_must(!prctl(PR_SET_PDEATHSIG, SIGUSR1));
	test_reach("armed");
	test_wait_for_go();
	test_must(!prctl(PR_GET_PDEATHSIG, &signal));
	test_check(signal == SIGUSR1, "parent-death signal is %d", signal);
	test_check(!parent_died, "parent-death signal came before the parent's death");
	test_reach("checked");
	test_wait_until(parent_died, "parent-death signal does not come");
	test_check(parent_died == 1, "parent-death signal came %d times", parent_died);
	_exit(44);
}

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	test_init(argc, argv);
	test_must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	child = fork();
	test_must(child >= 0);
	if (!child) {
		struct sigaction action = { .sa_handler = on_death, .sa_flags = SA_RESTART };

		test_must(!sigaction(SIGUSR1, &action, NULL));
		if (!fork())
			be_grandchild();
		test_await("armed");
		test_reach("forked");
		test_wait_for_go();
		test_await("checked");
		_exit(0);
	}
	test_await("forked");

	test_checkpoint_here();

	test_must(waitpid(child, &status, 0) == child && status == 0);
	test_must(wait(&status) > 0);
	test_check(status == 44 << 8, "grandchild: wait status %#x", status);
	test_pass();
}
