/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All resource limits are the same, and the kernel minds them. */
#include <sys/resource.h>

#include "testing.h"

static struct rlimit before[RLIM_NLIMITS];

static void read_limits(struct rlimit limits[RLIM_NLIMITS])
{
	for (int i = 0; i < RLIM_NLIMITS; i++)
		test_must(!getrlimit(i, &limits[i]));
}

/* Below what is there, each another one. */
static void make(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;

		test_must(!getrlimit(i, &limit));
		if (limit.rlim_max == RLIM_INFINITY)
			limit.rlim_max = 1ull << 40 | i;
		if (limit.rlim_cur > limit.rlim_max)
			limit.rlim_cur = limit.rlim_max;
		if (limit.rlim_cur)
			limit.rlim_cur--;
		test_must(!setrlimit(i, &limit));
	}
	test_must(!setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 20, 100 }));
	test_must(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 4096, 8192 }));
	test_must(!setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }));
	read_limits(before);
}

static void check(void)
{
	struct rlimit after[RLIM_NLIMITS];
	int count = 0;

	read_limits(after);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		test_check(!memcmp(&before[i], &after[i], sizeof(before[i])),
			   "limit %d: %lu/%lu, was %lu/%lu", i, after[i].rlim_cur,
			   after[i].rlim_max, before[i].rlim_cur, before[i].rlim_max);
	while (dup(0) >= 0)
		count++;
	test_check(errno == EMFILE && count > 0 && count < 20, "%d descriptors", count);
}

int main(int argc, char **argv)
{
	struct rlimit own;
	pid_t child;

	test_init(argc, argv);
	child = test_child("child", make, check);

	test_checkpoint_here();

	test_must(!getrlimit(RLIMIT_FSIZE, &own));
	test_check(own.rlim_cur == RLIM_INFINITY, "the parent got a limit of the child: %lu",
		   own.rlim_cur);
	test_child_ends(child);
	test_pass();
}
