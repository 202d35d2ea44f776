/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may trace a process and read its files stays so, also under another user and with threads. */
/* build: -pthread */
#include <pthread.h>
#include <sys/prctl.h>

#include "testing.h"

static bool ready;

static void *wait_long(void *arg)
{
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	return NULL;
}

static void become_user(void)
{
	pthread_t thread;

	test_must(!pthread_create(&thread, NULL, wait_long, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");
	/* Of the C library: in all threads. */
	test_must(!setgid(1234) && !setuid(1234));
	test_check(prctl(PR_GET_DUMPABLE) == 0, "a change of user leaves it dumpable");
}

static void make_hidden(void)
{
	test_must(!prctl(PR_SET_DUMPABLE, 0));
}

static void check_hidden(void)
{
	test_check(prctl(PR_GET_DUMPABLE) == 0, "dumpable is %d, was 0", prctl(PR_GET_DUMPABLE));
}

static void make_open(void)
{
	become_user();
	test_must(!prctl(PR_SET_DUMPABLE, 1));
}

static void check_open(void)
{
	test_check(prctl(PR_GET_DUMPABLE) == 1, "dumpable is %d, was 1", prctl(PR_GET_DUMPABLE));
	test_check(!access("/proc/self/fd", R_OK), "own files in /proc are closed");
}

int main(int argc, char **argv)
{
	pid_t children[3];

	test_init(argc, argv);
	children[0] = test_child("hidden", make_hidden, check_hidden);
	children[1] = test_child("user", become_user, check_hidden);
	children[2] = test_child("open", make_open, check_open);

	test_checkpoint_here();

	test_check(prctl(PR_GET_DUMPABLE) == 1, "dumpable is %d, was 1", prctl(PR_GET_DUMPABLE));
	for (int i = 0; i < 3; i++)
		test_child_ends(children[i]);
	test_pass();
}
