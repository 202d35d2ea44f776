/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that may use AMX tiles may use them afterwards; one that has not asked may not. */
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

#define ARCH_GET_XCOMP_SUPP 0x1021
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_TILE_DATA 18

static sigjmp_buf refused;

static uint64_t permitted(void)
{
	uint64_t components = 0;

	test_must(!syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &components));
	return components;
}

static void illegal(int signal)
{
	siglongjmp(refused, 1);
}

static bool can_use_tiles(void)
{
	static const uint8_t config[64] = { [0] = 1, [16] = 64, [48] = 1 };

	if (sigsetjmp(refused, 1))
		return false;
	__asm__ volatile("ldtilecfg %0\n tilezero %%tmm0\n tilerelease" : : "m"(config));
	return true;
}

int main(int argc, char **argv)
{
	uint64_t supported = 0, before;
	int status;
	pid_t child;

	test_init(argc, argv);
	if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_SUPP, &supported) ||
	    !(supported >> XFEATURE_TILE_DATA & 1))
		test_skip("this processor has no AMX, or the kernel does not know it");
	signal(SIGILL, illegal);
	child = fork();
	test_must(child >= 0);
	if (!child) {
		test_wait_for_go();
		test_check(!can_use_tiles(), "a process that did not ask can use tiles");
		_exit(0);
	}
	test_must(!syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA));
	before = permitted();

	test_checkpoint_here();

	test_check(permitted() == before, "permission is %#lx, was %#lx", permitted(), before);
	test_check(can_use_tiles(), "the permission does not work");
	test_must(waitpid(child, &status, 0) == child);
	test_check(status == 0, "child: wait status %#x", status);
	test_pass();
}
