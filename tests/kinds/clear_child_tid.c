/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a thread clears its word and wakes who waits there: so threads are joined. */
/* build: -pthread */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "testing.h"

static uint32_t word = 1;
static int ready;

static void *run(void *arg)
{
	void *address = NULL;

	test_must(syscall(SYS_set_tid_address, &word) == syscall(SYS_gettid));
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	test_must(!prctl(PR_GET_TID_ADDRESS, &address));
	test_check(address == &word, "address %p, was %p", address, &word);
	syscall(SYS_exit, 0);
	return NULL;
}

static void *plain(void *arg)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	return (void *)7;
}

int main(int argc, char **argv)
{
	struct timespec timeout = { .tv_sec = 8 };
	void *result = NULL, *before = NULL, *after = NULL;
	pthread_t thread, joined;

	test_init(argc, argv);
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_must(!pthread_create(&joined, NULL, plain, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 2, "threads");
	test_must(!prctl(PR_GET_TID_ADDRESS, &before));

	test_checkpoint_here();

	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1)
		test_check(!syscall(SYS_futex, &word, FUTEX_WAIT, 1, &timeout, NULL, 0) ||
				   errno != ETIMEDOUT,
			   "nobody wakes us");
	test_check(word == 0, "the word is %u", word);
	test_must(!pthread_join(joined, &result));
	test_check(result == (void *)7, "joined with %p", result);
	test_must(!prctl(PR_GET_TID_ADDRESS, &after));
	test_check(before == after, "own address %p, was %p", after, before);
	test_pass();
}
