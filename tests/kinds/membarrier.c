/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that has registered for expedited barriers can still make them, and no other can. */
#include <linux/membarrier.h>

#include "testing.h"

enum { GET_REGISTRATIONS = 1 << 9 };

static int membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

static void make(void)
{
}

static void check(void)
{
	test_check(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == -1 && errno == EPERM,
		   "the child has got a registration");
}

int main(int argc, char **argv)
{
	int before;
	pid_t child;

	test_init(argc, argv);
	if (membarrier(GET_REGISTRATIONS) < 0)
		test_skip("this kernel does not tell registrations");
	child = test_child("child", make, check);
	test_must(!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
		  !membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	before = membarrier(GET_REGISTRATIONS);

	test_checkpoint_here();

	test_check(membarrier(GET_REGISTRATIONS) == before, "registrations are %#x, were %#x",
		   membarrier(GET_REGISTRATIONS), before);
	test_check(!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), "no expedited barrier");
	test_child_ends(child);
	test_pass();
}
