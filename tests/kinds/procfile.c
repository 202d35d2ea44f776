/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of /proc and /sys go on telling, those of processes of the tree too. */
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

/* The number behind a word in the file, read again from its start. */
static int field(int fd, const char *key)
{
	static char text[8192];
	ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
	char *found;

	test_check(size > 0, "reading for %s", key);
	text[size] = '\0';
	test_check((found = strstr(text, key)), "no %s", key);
	return atoi(found + strlen(key));
}

int main(int argc, char **argv)
{
	int own, childs, uptime, sys, comm;
	char path[64], half[64], text[64];
	pid_t pid;

	test_init(argc, argv);
	test_must((pid = fork()) >= 0);
	if (!pid) {
		test_wait_for_go();
		test_sleep_ms(60000);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	test_must((own = open("/proc/self/status", O_RDONLY | O_CLOEXEC)) >= 0);
	test_must((childs = open(path, O_RDONLY)) >= 0);
	test_must((uptime = open("/proc/uptime", O_RDONLY)) >= 0);
	test_must((sys = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY)) >= 0 ||
		  (sys = open("/sys/power/state", O_RDONLY)) >= 0 ||
		  (sys = open("/sys/kernel/notes", O_RDONLY)) >= 0);
	test_must((comm = open("/proc/self/comm", O_RDWR)) >= 0);
	test_must(read(own, half, 20) == 20);

	test_checkpoint_here();

	test_check(lseek(own, 0, SEEK_CUR) == 20, "position %d", (int)lseek(own, 0, SEEK_CUR));
	test_check(field(own, "\nPid:\t") == getpid(), "it tells of process %d",
		   field(own, "\nPid:\t"));
	test_check(field(childs, "\nPid:\t") == pid, "it tells of process %d",
		   field(childs, "\nPid:\t"));
	test_check(read(uptime, text, sizeof(text)) > 0, "uptime");
	test_check(read(sys, text, 1) >= 0, "the file of /sys");
	test_check(write(comm, "renamed", 7) == 7, "writing a name");
	test_check(pread(comm, text, sizeof(text), 0) == 8 && !memcmp(text, "renamed\n", 8),
		   "the name is '%.8s'", text);
	test_must(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	test_check(pread(childs, text, 1, 0) < 0 && errno == ESRCH, "a dead process tells");
	test_pass();
}
