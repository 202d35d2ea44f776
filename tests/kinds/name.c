/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads keep their names, whatever is in them. */
/* build: -pthread */
#include <pthread.h>
#include <sys/prctl.h>

#include "testing.h"

enum { THREADS = 5 };

static const char *const names[THREADS] = {
	"plain", "a) (b \\n", "line\nbreak", "\xff\xfe not UTF-8", "",
};
static int ready;

static void check(const char *wanted)
{
	char name[16];

	test_must(!prctl(PR_GET_NAME, name));
	test_check(!strcmp(name, wanted), "name is '%s', was '%s'", name, wanted);
}

static void *run(void *arg)
{
	test_must(!prctl(PR_SET_NAME, arg));
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check(arg);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	test_must(!prctl(PR_SET_NAME, "fifteen letters and more"));
	for (int i = 0; i < THREADS; i++)
		test_must(!pthread_create(&threads[i], NULL, run, (void *)names[i]));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == THREADS, "threads");

	test_checkpoint_here();

	check("fifteen letters");
	for (int i = 0; i < THREADS; i++)
		test_must(!pthread_join(threads[i], NULL));
	test_pass();
}
