/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard descriptors that lead outside of the tree are replaced as restore --stdio says. */
/* test: modes=none,restore,running */
/* test: options=--stdio null */
/* test: unsteady */
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "testing.h"

/* A process outside of the tree: its parent ends, and the runner adopts it. It holds the other
 * ends and ends when nobody writes any more. */
static void make_stranger(int keep, int also_keep)
{
	pid_t pid = fork();
	char byte;

	test_must(pid >= 0);
	if (!pid) {
		/* Not in the tree's session, whose id would be taken for as long as it lives. */
		if (setsid() < 0 || fork())
			_exit(0);
		for (int fd = 0; fd < 64; fd++)
			if (fd != keep && fd != also_keep)
				close(fd);
		while (read(keep, &byte, 1) > 0)
			;
		_exit(0);
	}
	test_must(waitpid(pid, NULL, 0) == pid);
}

int main(int argc, char **argv)
{
	int in[2], out[2], copy;
	struct stat now, before[3];
	bool replaced;

	test_init(argc, argv);
	test_must(!pipe(in) && !pipe(out));
	test_must(dup2(in[0], STDIN_FILENO) == 0);
	test_must(dup2(out[1], STDOUT_FILENO) == 1 && dup2(out[1], STDERR_FILENO) == 2);
	close(in[0]);
	close(out[1]);
	make_stranger(out[0], in[1]);
	close(out[0]);
	close(in[1]);
	test_must((copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100)) == 100);
	for (int i = 0; i < 3; i++)
		test_must(!fstat(i, &before[i]));

	test_checkpoint_here();

	test_must(!fstat(STDIN_FILENO, &now));
	replaced = S_ISCHR(now.st_mode);
	if (replaced) {
		for (int i = 0; i < 3; i++) {
			test_must(!fstat(i, &now));
			test_check(now.st_rdev == makedev(1, 3), "descriptor %d leads to %x", i,
				   (int)now.st_rdev);
		}
	} else {
		for (int i = 0; i < 3; i++) {
			test_must(!fstat(i, &now));
			test_check(now.st_ino == before[i].st_ino, "another pipe");
		}
	}
	test_must(!fstat(copy, &now) && !fstat(STDOUT_FILENO, &before[1]));
	test_check(now.st_ino == before[1].st_ino, "the copy leads elsewhere");
	test_check(fcntl(copy, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_must(fcntl(copy, F_SETFL, O_NONBLOCK) == 0);
	test_check(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, "the copies share no description");
	test_must(write(STDOUT_FILENO, "x", 1) == 1);
	test_pass();
}
