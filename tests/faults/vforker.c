/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vforker SECONDS: a child made by vfork(2) sleeps that long while its parent cannot stop; 0: makes
 * children that execute a program, one after the other, for ever. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *const program[] = { "/bin/true", NULL };
	int seconds = argc > 1 ? atoi(argv[1]) : 0;
	pid_t pid;

	if (seconds && vfork() == 0) {
		sleep(seconds);
		_exit(0);
	}
	while (seconds)
		sleep(1);
	for (;;)
		if (!posix_spawn(&pid, program[0], NULL, NULL, program, NULL))
			waitpid(pid, NULL, 0);
}
