/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As many supplementary groups as there can be. */
#include "testing.h"

#include <grp.h>

enum { GROUPS = 65536, FIRST = 100000 };

static gid_t groups[GROUPS];

int main(int argc, char **argv)
{
	int i;

	test_init(argc, argv);
	for (i = 0; i < GROUPS; i++)
		groups[i] = FIRST + i;
	test_must(!setgroups(GROUPS, groups));
	memset(groups, 0, sizeof(groups));

	test_checkpoint_here();

	test_check(getgroups(GROUPS, groups) == GROUPS, "not all groups are left");
	for (i = 0; i < GROUPS; i++)
		test_check(groups[i] == (gid_t)(FIRST + i), "group %d is %u", i, groups[i]);
	test_pass();
}
