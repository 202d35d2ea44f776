/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open namespaces that the process itself is in stay open. */
#include <sched.h>

#include "testing.h"

int main(int argc, char **argv)
{
	static const char *const types[] = {
		"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts",
	};
	enum { COUNT = sizeof(types) / sizeof(types[0]) };
	struct stat was[COUNT], is;
	char path[64];
	int fds[COUNT];

	test_init(argc, argv);
	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", types[i]);
		test_must((fds[i] = open(path, O_RDONLY | (i % 2 ? O_CLOEXEC : 0))) >= 0);
		test_must(!fstat(fds[i], &was[i]));
	}

	test_checkpoint_here();

	for (int i = 0; i < COUNT; i++) {
		test_must(!fstat(fds[i], &is));
		test_check(is.st_dev == was[i].st_dev && is.st_ino == was[i].st_ino,
			   "%s: another namespace", types[i]);
		test_check(fcntl(fds[i], F_GETFD) == (i % 2 ? FD_CLOEXEC : 0), "close-on-exec");
	}
	test_check(!setns(fds[3], CLONE_NEWNET), "setns");
	test_pass();
}
