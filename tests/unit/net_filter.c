/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet filter of a network namespace is given back as it was. */
/* test: kinds=nftables */
#include "net_case.h"

static const char ruleset[] =
	"nft -f - <<'END'\n"
	"table inet t {\n"
	"	set addresses { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1d,"
	" 192.0.2.2 } }\n"
	"	set ranges { type ipv4_addr . inet_service; flags interval; elements = {"
	" 10.0.0.0/8 . 10-20, 11.0.0.0/8 . 30-40 } }\n"
	"	set nets { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8,"
	" 11.1.0.0-11.2.3.4, 192.0.2.7 } }\n"
	"	set seen { type ipv6_addr; size 1000; flags dynamic; }\n"
	"	map verdicts { type inet_service : verdict; elements = { 80 : jump web,"
	" 81 : drop } }\n"
	"	map counters { type ipv4_addr : counter; elements = { 192.0.2.9 : \"c1\" } }\n"
	"	counter c1 { packets 5 bytes 700 }\n"
	"	quota q1 { over 10 mbytes used 3 mbytes }\n"
	"	limit l1 { rate 10/second burst 7 packets }\n"
	"	chain web { counter packets 3 bytes 180 accept; }\n"
	"	chain in { type filter hook input priority 5; policy accept;\n"
	"		iif \"lo\" accept comment \"include this\"\n"
	"		ct state established,related accept\n"
	"		ip saddr @nets meta mark set 0x7 counter name c1\n"
	"		tcp dport vmap @verdicts\n"
	"		tcp dport { 22, 443-445 } limit name l1 accept\n"
	"		ip6 saddr fd00::/8 add @seen { ip6 saddr counter }\n"
	"		counter name ip saddr map @counters\n"
	"		tcp dport 99 jump { counter packets 1 bytes 2 drop; }\n"
	"	}\n"
	"	chain through { type filter hook forward priority 0; policy drop; }\n"
	"}\n"
	"table ip nat {\n"
	"	chain pre { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to"
	" 10.9.0.9:80; }\n"
	"	chain post { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade; }\n"
	"}\n"
	"table netdev n { chain i { type filter hook ingress device \"eth0\" priority 0;"
	" ip saddr 192.0.2.66 drop; }\n}\n"
	"table arp a { flags dormant; chain x { type filter hook input priority 0; }\n}\n"
	"table ip criu-lite-other { chain x { type filter hook input priority 0; policy drop; }\n}\n"
	"END";

static void test_nftables(void **state)
{
	/* What a lock of ours looks like is not saved; how long ago an element came does not
	 * matter. */
	static const char list[] = "nft list ruleset | sed 's/expires [0-9a-z]*//;"
				   " /table ip criu-lite/,/^}/d'";
	struct net_case c;
	char *before;

	begin(&c);
	make_container(&c);
	run(ruleset);
	before = output(list);
	assert_non_null(strstr(before, "192.0.2.66"));
	save(&c);
	restore_here(&c);
	compare(before, list);
	run("! nft list tables | grep criu-lite");
	save(&c);
	restore_here(&c);
	compare(before, list);
	end(&c);
	free(before);
}

static void test_iptables(void **state)
{
	static const char list[] =
		"iptables-nft-save -c | grep -v '^#'; ip6tables-nft-save -c | grep -v '^#'";
	struct net_case c;
	char *before;

	begin(&c);
	make_container(&c);
	run("i=iptables-nft; $i -P FORWARD DROP; $i -A INPUT -i lo -j ACCEPT;"
	    "$i -A INPUT -p tcp -m multiport --dports 80,443 -m comment --comment web -j ACCEPT;"
	    "$i -A INPUT -p udp -m statistic --mode nth --every 3 --packet 0 -j DROP;"
	    "$i -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu;"
	    "$i -t nat -A OUTPUT -d 127.0.0.11/32 -p tcp --dport 53 -j DNAT --to 127.0.0.11:3333;"
	    "$i -t nat -A POSTROUTING -o eth0 -j MASQUERADE;"
	    "ip6tables-nft -A INPUT -p ipv6-icmp -j ACCEPT");
	before = output(list);
	assert_non_null(strstr(before, "TCPMSS"));
	save(&c);
	restore_here(&c);
	compare(before, list);
	end(&c);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nftables),
		cmocka_unit_test(test_iptables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
