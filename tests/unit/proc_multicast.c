/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/net/igmp and igmp6: groups by interface, forged lines, and a group of our own. */
#include "proc_testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "proc/multicast.h"

#define HEAD "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"

static void igmp(void **state)
{
	static const char text[] = HEAD
		"1\tlo        :     1      V3\n"
		"\t\t\t\t010000E0     1 0:00000000\t\t0\n"
		"4\teth0      :     2      V3\n"
		"\t\t\t\tFB0000E0     1 0:00000000\t\t0\n"
		"\t\t\t\t010000E0     1 0:00000000\t\t0\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_groups groups;
	char name[64];

	assert_accepted(proc_parse_igmp, text, &groups, &err);
	assert_int_equal(groups.items.count, 3);
	assert_int_equal(groups.items.items[0].interface, 1);
	assert_int_equal(groups.items.items[1].interface, 4);
	inet_ntop(AF_INET, groups.items.items[1].address, name, sizeof(name));
	if (htonl(1) != 1)
		assert_string_equal(name, "224.0.0.251");
	array_release(&groups.items);
	assert_accepted(proc_parse_igmp, HEAD, &groups, &err);
	assert_int_equal(groups.items.count, 0);
}

static void igmp6(void **state)
{
	static const char text[] =
		"1    lo              ff020000000000000000000000000001     1 0000000C 0\n"
		"14   a-long-name-1   ff0200000000000000000001ff000002     1 00000004 0\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_groups groups;
	char name[64];

	assert_accepted(proc_parse_igmp6, text, &groups, &err);
	assert_int_equal(groups.items.count, 2);
	assert_int_equal(groups.items.items[1].interface, 14);
	inet_ntop(AF_INET6, groups.items.items[1].address, name, sizeof(name));
	assert_string_equal(name, "ff02::1:ff00:2");
	array_release(&groups.items);
}

static void refused(void **state)
{
	static const char *const igmp_texts[] = {
		"Nothing\n", HEAD "x\n", HEAD "\t\t\t\t010000E0     1\n", HEAD "1\tlo\n\t010000E\n",
		HEAD "1\tlo\n\t010000E01 1\n", HEAD "1\tlo\n\t010000G0 1\n", HEAD "1\tlo",
	};
	static const char *const igmp6_texts[] = {
		"\n", "1\n", "1 lo\n", "1 lo ff02\n", "x lo ff020000000000000000000000000001 1\n",
		"1 lo ff0200000000000000000000000000011 1\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_groups groups;

	for (size_t i = 0; i < ARRAY_SIZE(igmp_texts); i++)
		assert_refused(proc_parse_igmp, igmp_texts[i], &groups, &err, "net/igmp");
	for (size_t i = 0; i < ARRAY_SIZE(igmp6_texts); i++)
		assert_refused(proc_parse_igmp6, igmp6_texts[i], &groups, &err, "net/igmp6");
}

static void our_own(void **state)
{
	struct ip_mreqn join = { .imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = 1 };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int dir = open_dir("/proc/self"), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct proc_groups groups;
	bool found = false;

	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)))
		skip();
	assert_parsed(proc_read_igmp(dir, &groups, &err), &err);
	for (size_t i = 0; i < groups.items.count; i++)
		found |= groups.items.items[i].interface == 1 &&
			 !memcmp(groups.items.items[i].address, &join.imr_multiaddr, 4);
	assert_true(found);
	array_release(&groups.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(igmp),
		cmocka_unit_test(igmp6),
		cmocka_unit_test(refused),
		cmocka_unit_test(our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
