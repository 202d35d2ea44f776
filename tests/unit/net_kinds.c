/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is saved of a network namespace makes another one that cannot be told from it. */
/* test: kinds=net-links,net-sysctls,net-addresses,net-nexthops */
/* test: kinds=net-routes,net-rules,net-neighbours */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "net_case.h"

/* What the tools say of a namespace, but for what passes with time. */
static const char look[] =
	"ip -d link | sed 's/@if[0-9]*//; s/bridge_id.*//; s/[a-z_]*_timer *[0-9.]*//g;"
	" s/ state [A-Z]*//; s/link-netnsid.*//; s/,LOWER_UP//; s/NO-CARRIER,//';"
	"echo addresses; ip addr | grep inet; echo routes; ip -4 route show table all;"
	"ip -6 route show table all | sort; echo rules; ip rule; ip -6 rule; echo neighbours;"
	"ip neigh show nud permanent; ip neigh show nud stale; ip neigh show proxy;"
	"ip nexthop";

/* Whether somebody is there: refuses a connection, at a port that is nobody's. */
static bool answers(int family, const char *address)
{
	struct sockaddr_in6 to = { .sin6_family = family, .sin6_port = htons(9) };
	_cleanup_fd_ int fd = socket(family, SOCK_STREAM, 0);
	struct timeval patience = { .tv_sec = 3 };

	assert_int_equal(inet_pton(family, address, family == AF_INET ?
				   (void *)&((struct sockaddr_in *)&to)->sin_addr :
				   (void *)&to.sin6_addr), 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno == ECONNREFUSED;
}

static void settle(void)
{
	/* Duplicate address detection of what the test itself has made. */
	run("for i in $(seq 50); do ip -6 addr show tentative | grep -q . || exit 0; sleep 0.05;"
	    "done; exit 1");
}

static void connect_container(void)
{
	run("ip addr add 10.9.0.2/24 brd + dev eth0; ip addr add 10.9.0.3/24 dev eth0 label eth0:x;"
	    "ip -6 addr add fd09::2/64 dev eth0; ip -6 addr add fd09::3/64 dev eth0;"
	    "ip route add default via 10.9.0.1; ip -6 route add default via fd09::1");
	settle();
}

static void test_veth(void **state)
{
	struct net_case c;
	char *before;

	begin(&c);
	make_container(&c);
	connect_container();
	assert_true(answers(AF_INET, "10.9.0.1") && answers(AF_INET6, "fd09::1"));
	before = output(look);
	save(&c);
	/* The old one is going away while the new one comes. */
	restore_here(&c);
	assert_true(answers(AF_INET, "10.9.0.1") && answers(AF_INET6, "fd09::1"));
	compare(before, look);
	go(c.machine);
	run("ip -d link show host9 | grep -q 'hairpin on'; ip link show host9 | grep -q 'mtu 1400'");
	end(&c);
	free(before);
}

static void test_sysctls(void **state)
{
	struct net_case c;
	char *before;
	static const char all[] =
		"cd /proc/sys/net; find . -type f -perm -600 | grep -v nf_hooks | sort | xargs grep -s '';"
		"true";

	begin(&c);
	make_container(&c);
	run("cd /proc/sys/net; echo 0 2147483647 >ipv4/ping_group_range; echo 1 >ipv4/ip_forward;"
	    "echo 20000 30000 >ipv4/ip_local_port_range; echo 20001,20007 >ipv4/ip_local_reserved_ports;"
	    "echo 77 >ipv4/tcp_keepalive_time; echo 4096 8192 70000 >ipv4/tcp_rmem;"
	    "echo 0 >ipv4/conf/eth0/forwarding; echo 1 >ipv4/conf/all/rp_filter;"
	    "echo 2 >ipv4/conf/default/rp_filter; echo 1 >ipv4/conf/eth0/proxy_arp;"
	    "echo 1 >ipv6/conf/all/forwarding; echo 0 >ipv6/conf/eth0/forwarding;"
	    "echo 0 >ipv6/conf/eth0/accept_ra; echo 3 >ipv6/conf/eth0/accept_dad;"
	    "echo 1300 >ipv6/conf/eth0/mtu; echo 1 >ipv6/conf/lo/disable_ipv6;"
	    "echo 1 >ipv6/conf/eth0/addr_gen_mode; echo 33 >ipv4/neigh/eth0/gc_stale_time;"
	    "echo fd00::5 >ipv6/conf/default/stable_secret; echo 99 >core/somaxconn");
	connect_container();
	before = output(all);
	save(&c);
	restore_here(&c);
	compare(before, all);
	end(&c);
	free(before);
}

static void test_everything(void **state)
{
	struct net_case c;
	char *before;

	begin(&c);
	make_container(&c);
	run("ip link add in0 type bridge forward_delay 500 ageing_time 1000; ip link set in0 up;"
	    "ip link add p0 type veth peer name p1; ip link set p0 master in0; ip link set p0 up;"
	    "ip link set p1 up; ip link set p0 type bridge_slave isolated on cost 7;"
	    "ip link add mac0 link eth0 type macvlan mode bridge; ip link set mac0 up;"
	    "ip link add down0 type veth peer name down1; ip link set down1 promisc on");
	run("ip tuntap add tap5 mode tap user 33 group 34 vnet_hdr multi_queue pi;"
	    "ip link set tap5 address 02:00:00:00:05:05 mtu 1200 up; ip tuntap add tun6 mode tun");
	connect_container();
	run("ip addr add 192.0.2.1 peer 192.0.2.2 dev p1; ip addr add 127.1.2.3/8 dev lo scope host;"
	    "ip -6 addr add fd09:1::1/64 dev p1 nodad noprefixroute;"
	    "ip addr add 10.30.0.1/24 dev mac0 valid_lft 4000000 preferred_lft 4000000");
	run("ip route add 10.1.0.0/16 via 10.9.0.7 metric 5 mtu 1300 advmss 1200;"
	    "ip route add 10.2.0.0/16 nexthop via 10.9.0.7 weight 2 nexthop via 10.9.0.8;"
	    "ip route add 10.3.0.0/16 via 10.1.2.3 dev eth0 onlink table 77;"
	    "ip route add blackhole 10.4.0.0/16; ip route add unreachable 10.5.0.0/16 table 78;"
	    "ip route add 10.6.0.0/16 dev eth0 src 10.9.0.3 realm 4 proto static;"
	    "ip route del 10.30.0.0/24;"
	    "ip -6 route add fd10::/32 via fd09::7 metric 9 pref high;"
	    "ip -6 route add fd11::/32 nexthop via fd09::7 nexthop via fd09::8;"
	    "ip -6 route add prohibit fd12::/32; ip -6 route add fd13::/32 from fd09::/64 dev eth0;"
	    "ip nexthop add id 4 via 10.9.0.9 dev eth0; ip nexthop add id 5 via 10.9.0.8 dev eth0;"
	    "ip nexthop add id 9 group 4/5; ip route add 10.7.0.0/16 nhid 9");
	run("ip rule add from 10.9.0.3 table 77 prio 100; ip rule add fwmark 7/15 iif eth0 lookup 78;"
	    "ip rule add not to 10.9.0.0/24 prio 200 suppress_prefixlength 0 lookup main;"
	    "ip rule del prio 32767; ip -6 rule add uidrange 5-9 ipproto tcp dport 80-90 lookup 77");
	run("ip neigh add 10.9.0.50 lladdr 02:00:00:00:00:50 dev eth0 nud permanent;"
	    "ip neigh add 10.9.0.51 lladdr 02:00:00:00:00:51 dev eth0 nud stale router;"
	    "ip -6 neigh add fd09::50 lladdr 02:00:00:00:00:50 dev eth0 nud permanent;"
	    "ip neigh add proxy 10.9.0.60 dev eth0; ip -6 neigh add proxy fd09::60 dev eth0");
	before = output(look);
	save(&c);
	restore_here(&c);
	compare(before, look);
	/* And once more, from what was made. */
	save(&c);
	restore_here(&c);
	compare(before, look);
	end(&c);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_veth),
		cmocka_unit_test(test_sysctls),
		cmocka_unit_test(test_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
