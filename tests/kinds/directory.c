/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open directory goes on where it was read to, and serves relative paths. */
#include <dirent.h>

#include "testing.h"

enum { FILES = 300, FIRST = 120 };

static void read_names(int fd, int count, char *seen)
{
	static char buffer[4096];
	static long filled, at;

	while (count) {
		struct dirent64 *entry;
		int number;

		if (at >= filled) {
			filled = syscall(SYS_getdents64, fd, buffer, 300);
			at = 0;
			if (filled <= 0)
				return;
		}
		entry = (struct dirent64 *)(buffer + at);
		at += entry->d_reclen;
		if (sscanf(entry->d_name, "file%d", &number) != 1)
			continue;
		test_check(!seen[number], "file%d was read twice", number);
		seen[number] = 1;
		count--;
	}
}

int main(int argc, char **argv)
{
	char seen[FILES] = { 0 };
	int fd, other, file;

	test_init(argc, argv);
	test_must(!mkdir(test_path("directory"), 0700));
	for (int i = 0; i < FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "directory/file%d", i);
		test_must(!close(open(test_path(name), O_WRONLY | O_CREAT | O_EXCL, 0600)));
	}
	test_must((fd = open(test_path("directory"), O_RDONLY | O_DIRECTORY)) >= 0);
	test_must((other = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	read_names(fd, FIRST, seen);

	test_checkpoint_here();

	read_names(fd, FILES, seen);
	for (int i = 0; i < FILES; i++)
		test_check(seen[i], "file%d was not read", i);
	test_must((file = openat(fd, "file7", O_RDONLY)) >= 0);
	test_check(!faccessat(other, "1", F_OK, 0), "/proc/self/fd is another one");
	test_check(fcntl(other, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_pass();
}
