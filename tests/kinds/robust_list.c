/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a thread dies with a robust mutex locked, the next one learns of it. */
/* build: -pthread */
#include <pthread.h>

#include "testing.h"

static pthread_mutex_t mutex;
static bool locked;

struct list {
	void *address;
	size_t size;
};

static struct list list_now(void)
{
	struct list list;

	test_must(!syscall(SYS_get_robust_list, 0, &list.address, &list.size));
	return list;
}

static void *run(void *arg)
{
	struct list before = list_now(), after;

	test_must(!pthread_mutex_lock(&mutex));
	__atomic_store_n(&locked, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	after = list_now();
	test_check(before.address && !memcmp(&before, &after, sizeof(before)), "list %p, was %p",
		   after.address, before.address);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t robust;
	pthread_t thread;

	test_init(argc, argv);
	test_must(!pthread_mutexattr_init(&robust) &&
		  !pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) &&
		  !pthread_mutex_init(&mutex, &robust));
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&locked, __ATOMIC_SEQ_CST), "not locked");

	test_checkpoint_here();

	test_check(pthread_mutex_lock(&mutex) == EOWNERDEAD, "its owner is not known to be dead");
	test_must(!pthread_mutex_consistent(&mutex) && !pthread_mutex_unlock(&mutex));
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
