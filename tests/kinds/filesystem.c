/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes keep working directory, root directory and file creation mask, each its own. */
#include "testing.h"

static void expect_link(const char *link, const char *wanted)
{
	char path[1024];
	ssize_t size = readlink(link, path, sizeof(path) - 1);

	test_must(size >= 0);
	path[size] = 0;
	test_check(!strcmp(path, wanted), "%s is %s, was %s", link, path, wanted);
}

static void expect_mask(mode_t wanted)
{
	mode_t is = umask(0);

	test_check(is == wanted, "umask is %03o, was %03o", is, wanted);
}

/* A new root, with the working directory below it. The scratch directory is that root. */
static void make_jail(void)
{
	test_must(!mkdir(test_path("inside"), 0755) && !chdir(test_path("inside")));
	test_must(!chroot(test_scratch));
	test_scratch[0] = 0;
	umask(027);
}

static void check_jail(void)
{
	char cwd[64];

	expect_mask(027);
	test_must(getcwd(cwd, sizeof(cwd)));
	test_check(!strcmp(cwd, "/inside"), "working directory in the jail is %s", cwd);
	test_check(!access("/go", F_OK) && access("/proc/self", F_OK), "another root");
}

/* A working directory outside of the new root stays where it is. */
static void make_outside(void)
{
	test_must(!chdir("/usr") && !chroot(test_scratch));
	test_scratch[0] = 0;
}

static void check_outside(void)
{
	test_check(!access("bin", F_OK) && !access("/go", F_OK), "another root or directory");
}

int main(int argc, char **argv)
{
	pid_t jail, outside;

	test_init(argc, argv);
	jail = test_child("jail", make_jail, check_jail);
	outside = test_child("outside", make_outside, check_outside);
	test_must(!mkdir(test_path("a \\ \n directory"), 0711) &&
		  !chdir(test_path("a \\ \n directory")));
	umask(0456);

	test_checkpoint_here();

	expect_mask(0456);
	expect_link("/proc/self/cwd", test_path("a \\ \n directory"));
	expect_link("/proc/self/root", "/");
	test_child_ends(jail);
	test_child_ends(outside);
	test_pass();
}
