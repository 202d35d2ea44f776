/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How willingly the kernel ends a process stays its own matter. */
#include "testing.h"

static int value(void)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	test_must(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static void set_value(const char *text)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	test_must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void make(void)
{
	set_value("999");
}

static void check(void)
{
	test_check(value() == 999, "value of the child is %d, was 999", value());
}

int main(int argc, char **argv)
{
	pid_t child;

	test_init(argc, argv);
	child = test_child("child", make, check);
	set_value("345");

	test_checkpoint_here();

	test_check(value() == 345, "value is %d, was 345", value());
	test_child_ends(child);
	test_pass();
}
