/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices without state stay open: null, zero, full, random, urandom. */
#include <sys/sysmacros.h>

#include "testing.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *path;
		int flags;
	} rows[] = {
		{ "/dev/null", O_RDWR | O_APPEND },
		{ "/dev/zero", O_RDONLY | O_CLOEXEC },
		{ "/dev/full", O_WRONLY | O_NONBLOCK },
		{ "/dev/random", O_RDONLY | O_NONBLOCK },
		{ "/dev/urandom", O_RDONLY },
	};
	enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
	int fds[COUNT], flags[COUNT];
	struct stat before[COUNT], after;
	char byte = 1;

	test_init(argc, argv);
	for (int i = 0; i < COUNT; i++) {
		test_must((fds[i] = open(rows[i].path, rows[i].flags)) >= 0);
		flags[i] = fcntl(fds[i], F_GETFL);
		test_must(!fstat(fds[i], &before[i]));
	}

	test_checkpoint_here();

	for (int i = 0; i < COUNT; i++) {
		test_must(!fstat(fds[i], &after));
		test_check(after.st_rdev == before[i].st_rdev, "%s is %x", rows[i].path,
			   (int)after.st_rdev);
		test_check(fcntl(fds[i], F_GETFL) == flags[i], "%s: flags %#o", rows[i].path,
			   fcntl(fds[i], F_GETFL));
	}
	test_check(write(fds[0], "x", 1) == 1, "/dev/null");
	test_check(read(fds[1], &byte, 1) == 1 && !byte, "/dev/zero gives %d", byte);
	test_check(write(fds[2], "x", 1) < 0 && errno == ENOSPC, "/dev/full");
	test_check(read(fds[4], &byte, 1) == 1, "/dev/urandom");
	test_pass();
}
