/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that adopts orphans goes on to adopt them; one that does not, does not. */
#include <sys/prctl.h>

#include "testing.h"

static int is_subreaper(void)
{
	int is = -1;

	test_must(!prctl(PR_GET_CHILD_SUBREAPER, &is));
	return is;
}

/* Leaves an orphan behind, which ends with status 9. */
static void leave_orphan(void)
{
	pid_t parent = fork(), orphan;
	int status;

	test_must(parent >= 0);
	if (!parent) {
		if (!fork()) {
			test_sleep_ms(50);
			_exit(9);
		}
		_exit(0);
	}
	test_must(waitpid(parent, &status, 0) == parent && status == 0);
	orphan = wait(&status);
	if (is_subreaper())
		test_check(orphan > 0 && status == 9 << 8, "the orphan went elsewhere");
	else
		test_check(orphan < 0 && errno == ECHILD, "the orphan came here");
}

static void make(void)
{
}

static void check(void)
{
	test_check(!is_subreaper(), "the child has become a subreaper");
	leave_orphan();
}

int main(int argc, char **argv)
{
	pid_t child;

	test_init(argc, argv);
	test_must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	child = test_child("child", make, check);

	test_checkpoint_here();

	test_check(is_subreaper() == 1, "is no subreaper any more");
	while (waitpid(child, NULL, WNOHANG) == 0)
		test_sleep_ms(2);
	/* What the child has left came here, unless it has ended already. */
	while (wait(NULL) > 0)
		;
	leave_orphan();
	test_pass();
}
