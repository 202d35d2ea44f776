/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that share their working directory and umask (CLONE_FS) go on sharing them. */
#include "testing.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	char here[PATH_MAX], command;
	int request[2], answer[2];
	pid_t child;

	test_init(argc, argv);
	test_must(!pipe(request) && !pipe(answer));
	child = syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	test_must(child >= 0);
	if (!child) {
		while (read(request[0], &command, 1) == 1) {
			if (chdir("/usr"))
				_exit(1);
			umask(027);
			if (write(answer[1], "d", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	test_must(!chdir("/tmp"));

	test_checkpoint_here();

	test_must(getcwd(here, sizeof(here)) && !strcmp(here, "/tmp"));
	test_must(write(request[1], "x", 1) == 1 && read(answer[0], &command, 1) == 1);
	test_must(getcwd(here, sizeof(here)) != NULL);
	test_check(!strcmp(here, "/usr"), "the child's chdir is not seen: %s", here);
	test_check(umask(0) == 027, "the child's umask is not seen");
	kill(child, SIGKILL);
	test_must(waitpid(child, NULL, 0) == child);
	test_pass();
}
