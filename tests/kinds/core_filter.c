/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes into a core file is chosen for each process, and stays chosen. */
#include "testing.h"

static unsigned long mask(void)
{
	char text[16] = "";
	int fd = open("/proc/self/coredump_filter", O_RDONLY | O_CLOEXEC);

	test_must(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoul(text, NULL, 16);
}

static void set_mask(const char *text)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	test_must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void make(void)
{
	set_mask("0");
}

static void check(void)
{
	test_check(mask() == 0, "mask of the child is %lx, was 0", mask());
}

int main(int argc, char **argv)
{
	pid_t child;

	test_init(argc, argv);
	child = test_child("child", make, check);
	set_mask("0x1ff");

	test_checkpoint_here();

	test_check(mask() == 0x1ff, "mask is %lx, was 1ff", mask());
	test_child_ends(child);
	test_pass();
}
