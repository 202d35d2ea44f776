/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread's choice of memory nodes stays its own. */
/* build: -pthread */
#include <linux/mempolicy.h>
#include <pthread.h>

#include "testing.h"

enum { NODES = 1024, WORDS = NODES / 64 };

struct policy {
	int mode;
	uint64_t nodes[WORDS];
};

static bool ready;

static struct policy read_policy(void)
{
	struct policy p;

	memset(&p, 0, sizeof(p));
	test_must(!syscall(SYS_get_mempolicy, &p.mode, p.nodes, NODES, 0, 0));
	return p;
}

static void check(const char *who, int mode, uint64_t nodes)
{
	struct policy p = read_policy();

	test_check(p.mode == mode && p.nodes[0] == nodes, "%s: mode %#x nodes %#lx", who, p.mode,
		   p.nodes[0]);
}

static void *run(void *arg)
{
	uint64_t node = 1;

	test_must(!syscall(SYS_set_mempolicy, MPOL_BIND | MPOL_F_STATIC_NODES, &node, 64));
	check("thread before", MPOL_BIND | MPOL_F_STATIC_NODES, 1);
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check("thread", MPOL_BIND | MPOL_F_STATIC_NODES, 1);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t node = 1;
	pthread_t thread;

	test_init(argc, argv);
	if (syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node, 64))
		test_skip("this kernel knows no memory policies");
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");

	test_checkpoint_here();

	check("first thread", MPOL_INTERLEAVE, 1);
	test_must(!pthread_join(thread, NULL));
	test_pass();
}
