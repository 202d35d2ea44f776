/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread keeps its execution domain, and what is started from there sees it. */
/* build: -pthread */
#include <pthread.h>
#include <sys/personality.h>
#include <sys/utsname.h>

#include "testing.h"

static bool ready;

static void check(unsigned long wanted, const char *version)
{
	struct utsname uts;

	test_check(personality(0xffffffff) == (int)wanted, "personality is %#x, was %#lx",
		   personality(0xffffffff), wanted);
	test_must(!uname(&uts));
	test_check(!version || !strncmp(uts.release, version, strlen(version)),
		   "the kernel shows itself as %s", uts.release);
}

static void *run(void *arg)
{
	test_must(personality(ADDR_NO_RANDOMIZE) >= 0);
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check(ADDR_NO_RANDOMIZE, NULL);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	test_init(argc, argv);
	test_must(personality(UNAME26 | ADDR_COMPAT_LAYOUT) >= 0);
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");

	test_checkpoint_here();

	check(UNAME26 | ADDR_COMPAT_LAYOUT, "2.6.");
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
