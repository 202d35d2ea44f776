/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP sockets keep addresses, options, multicast groups and queued datagrams with their senders. */
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/udp.h>

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif
#ifndef UDPLITE_SEND_CSCOV
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#endif

static union address make(int family, const char *host, in_port_t port)
{
	union address a = { .any.sa_family = family };

	if (family == AF_INET) {
		a.v4.sin_port = port;
		test_must(inet_pton(family, host, &a.v4.sin_addr) == 1);
	} else {
		a.v6.sin6_port = port;
		test_must(inet_pton(family, host, &a.v6.sin6_addr) == 1);
	}
	return a;
}

static int bound(int family, const char *host, int protocol)
{
	union address a = make(family, host, 0);
	int fd = socket(family, SOCK_DGRAM, protocol);

	test_check(fd >= 0 && !bind(fd, &a.any, sizeof(a)), "bind to %s", host);
	return fd;
}

static void send_to(int from, int to, const char *host, const char *text)
{
	union address a = make(strchr(host, ':') ? AF_INET6 : AF_INET, host, port_of(to));

	test_check(sendto(from, text, strlen(text), 0, &a.any, sizeof(a)) == (ssize_t)strlen(text),
		   "send '%s'", text);
}

/* The next datagram is this text and comes from that socket. */
static void expect(int fd, const char *text, int sender, const char *what)
{
	union address from = { 0 };
	socklen_t size = sizeof(from);
	char got[256] = { 0 };
	ssize_t n = recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, &from.any, &size);

	test_check(n == (ssize_t)strlen(text) && !memcmp(got, text, n),
		   "%s: got %zd bytes '%s', not '%s'", what, n, got, text);
	if (from.any.sa_family == AF_INET)
		test_check(from.v4.sin_port == port_of(sender), "%s: '%s' comes from port %u", what,
			   text, ntohs(from.v4.sin_port));
	else
		test_check(from.v6.sin6_port == port_of(sender), "%s: '%s' comes from port %u",
			   what, text, ntohs(from.v6.sin6_port));
}

static void expect_empty(int fd, const char *what)
{
	char byte;

	test_check(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "%s: one more", what);
}

static int any4, any6, lite, lite6, gone, sender, pair[2], joined, joined6, unbound, told, large,
	alone;
static in_port_t gone_port, any4_port;
static bool has_groups6;

static void make_sockets(void)
{
	static char kilobytes[60000];
	struct ip_mreqn group = { .imr_multiaddr.s_addr = inet_addr("239.9.8.7"),
				  .imr_ifindex = 1 };
	struct ip_mreq_source source = { .imr_multiaddr.s_addr = inet_addr("239.9.8.6"),
					 .imr_interface.s_addr = htonl(INADDR_LOOPBACK),
					 .imr_sourceaddr.s_addr = inet_addr("10.1.2.3") };
	struct ipv6_mreq group6 = { .ipv6mr_interface = 1 };
	union address a;

	any4 = bound(AF_INET, "0.0.0.0", 0);
	any4_port = port_of(any4);
	any6 = bound(AF_INET6, "::", 0);
	lite = bound(AF_INET, "127.0.0.1", IPPROTO_UDPLITE);
	lite6 = bound(AF_INET6, "::1", IPPROTO_UDPLITE);
	set_option(lite, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 20);
	set_option(lite, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, 12);
	sender = bound(AF_INET, "127.0.0.5", 0);
	gone = bound(AF_INET, "127.0.0.6", 0);
	gone_port = port_of(gone);
	unbound = socket(AF_INET, SOCK_DGRAM, 0);
	pair[0] = bound(AF_INET, "127.0.0.1", 0);
	pair[1] = bound(AF_INET, "127.0.0.1", 0);
	/* One that is connected to its sender after it got something from another. */
	send_to(sender, pair[0], "127.0.0.1", "early");
	for (int i = 0; i < 2; i++) {
		a = socket_address(pair[1 - i], false);
		test_must(!connect(pair[i], &a.any, sizeof(a)));
	}
	test_must(write(pair[1], "from the peer", 13) == 13 && write(pair[1], "", 0) == 0 &&
		  write(pair[1], "more", 4) == 4);

	send_to(sender, any4, "127.0.0.1", "first");
	send_to(gone, any4, "127.0.0.1", "from one that is gone");
	/* Connected to it, too, with what it has sent. */
	alone = bound(AF_INET, "127.0.0.1", 0);
	a = socket_address(gone, false);
	test_must(!connect(alone, &a.any, sizeof(a)));
	send_to(gone, alone, "127.0.0.1", "to a friend");
	send_to(sender, any4, "127.0.0.1", "last");
	close(gone);
	send_to(sender, any6, "127.0.0.1", "mapped");
	send_to(any6, any6, "::1", "to itself");
	told = bound(AF_INET, "0.0.0.0", 0);
	set_option(told, SOL_IP, IP_PKTINFO, 1);
	set_option(told, SOL_IP, IP_RECVTTL, 1);
	set_option(sender, SOL_IP, IP_TTL, 77);
	send_to(sender, told, "127.1.2.3", "told");
	large = bound(AF_INET6, "::1", 0);
	set_option(large, SOL_SOCKET, SO_RCVBUFFORCE, 1000000);
	memset(kilobytes, 'k', sizeof(kilobytes));
	a = socket_address(large, false);
	for (int i = 0; i < 5; i++)
		test_must(sendto(any6, kilobytes, sizeof(kilobytes) - i, 0, &a.any, sizeof(a)) > 0);

	joined = bound(AF_INET, "0.0.0.0", 0);
	test_must(!setsockopt(joined, SOL_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
	test_must(!setsockopt(joined, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &source, sizeof(source)));
	set_option(joined, SOL_IP, IP_MULTICAST_TTL, 9);
	set_option(joined, SOL_IP, IP_MULTICAST_LOOP, 0);
	joined6 = bound(AF_INET6, "::", 0);
	test_must(inet_pton(AF_INET6, "ff15::1234", &group6.ipv6mr_multiaddr) == 1);
	has_groups6 = !setsockopt(joined6, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &group6, sizeof(group6));
	set_option(any4, SOL_SOCKET, SO_BROADCAST, 1);
	set_option(any4, SOL_IP, IP_TOS, 0x20);
	set_option(any6, SOL_IPV6, IPV6_RECVPKTINFO, 1);
	set_option(unbound, SOL_UDP, UDP_GRO, 1);
}

static void check_queues(void)
{
	union address from = { 0 };
	socklen_t size = sizeof(from);
	char got[64];

	expect(any4, "first", sender, "any");
	test_check(recvfrom(any4, got, sizeof(got), MSG_DONTWAIT, &from.any, &size) == 21 &&
			   from.v4.sin_port == gone_port &&
			   from.v4.sin_addr.s_addr == inet_addr("127.0.0.6"),
		   "sender that is gone");
	expect(any4, "last", sender, "any");
	expect_empty(any4, "any");
	test_check(recvfrom(alone, got, sizeof(got), MSG_DONTWAIT, &from.any, &size) == 11 &&
			   from.v4.sin_port == gone_port && !memcmp(got, "to a friend", 11),
		   "what it got of its peer that is gone");
	expect(any6, "mapped", sender, "IPv6");
	expect(any6, "to itself", any6, "IPv6");
	expect_empty(any6, "IPv6");
	expect(pair[0], "early", sender, "connected");
	expect(pair[0], "from the peer", pair[1], "connected");
	expect(pair[0], "", pair[1], "connected");
	expect(pair[0], "more", pair[1], "connected");
	expect_empty(pair[0], "connected");
	for (int i = 0; i < 5; i++)
		test_check(recv(large, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) == 60000 - i, "large %d",
			   i);
	test_check(get_option(large, SOL_SOCKET, SO_RCVBUF) == 2000000, "SO_RCVBUF");
}

static void check_told(void)
{
	char data[16], control[256];
	struct iovec part = { data, sizeof(data) };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct in_pktinfo info = { 0 };
	int ttl = 0;

	test_check(recvmsg(told, &h, MSG_DONTWAIT) == 4, "told");
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_type == IP_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
		else if (c->cmsg_type == IP_TTL)
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
	}
	test_check(info.ipi_addr.s_addr == inet_addr("127.1.2.3"), "destination is %s",
		   inet_ntoa(info.ipi_addr));
	test_check(ttl == 77, "time to live is %d", ttl);
}

static void check_talk(void)
{
	send_to(sender, lite, "127.0.0.1", "no");	/* UDP does not reach UDP-Lite. */
	expect_empty(lite, "lite");
	test_check(get_option(lite, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV) == 20 &&
			   get_option(lite, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV) == 12 &&
			   get_option(lite6, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV) == 0,
		   "what checksums cover");
	send_to(lite, lite, "127.0.0.1", "lite");
	expect(lite, "lite", lite, "lite");
	send_to(lite6, lite6, "::1", "lite");
	expect(lite6, "lite", lite6, "lite of IPv6");
	test_check(write(pair[0], "back", 4) == 4, "write");
	expect(pair[1], "back", pair[0], "connected");
	send_to(sender, pair[0], "127.0.0.1", "stranger");
	expect_empty(pair[0], "a connected socket hears a stranger");
	test_check(port_of(any4) == any4_port, "port %u", ntohs(port_of(any4)));
	test_check(socket_address(any4, true).any.sa_family == 0, "a peer came");
	test_check(port_of(unbound) == 0, "an unbound socket has a port");
}

static bool is_member(int fd, const char *group, uint32_t *ret_mode, uint32_t *ret_sources)
{
	char room[GROUP_FILTER_SIZE(8)] = { 0 };
	struct group_filter *filter = (struct group_filter *)room;
	int family = strchr(group, ':') ? AF_INET6 : AF_INET;
	union address a = make(family, group, 0);
	socklen_t size = sizeof(room);

	filter->gf_interface = 1;
	filter->gf_numsrc = 8;
	memcpy(&filter->gf_group, &a, sizeof(a));
	if (getsockopt(fd, family == AF_INET ? SOL_IP : SOL_IPV6, MCAST_MSFILTER, filter, &size))
		return false;
	*ret_mode = filter->gf_fmode;
	*ret_sources = filter->gf_numsrc;
	return true;
}

static void check_options(void)
{
	uint32_t mode, sources;

	test_check(get_option(any4, SOL_SOCKET, SO_BROADCAST) == 1, "SO_BROADCAST");
	test_check(get_option(any4, SOL_IP, IP_TOS) == 0x20, "IP_TOS");
	test_check(get_option(any6, SOL_IPV6, IPV6_RECVPKTINFO) == 1, "IPV6_RECVPKTINFO");
	test_check(get_option(unbound, SOL_UDP, UDP_GRO) == 1, "UDP_GRO");
	test_check(get_option(sender, SOL_IP, IP_TTL) == 77, "IP_TTL");
	test_check(get_option(joined, SOL_IP, IP_MULTICAST_TTL) == 9, "IP_MULTICAST_TTL");
	test_check(get_option(joined, SOL_IP, IP_MULTICAST_LOOP) == 0, "IP_MULTICAST_LOOP");
	test_check(is_member(joined, "239.9.8.7", &mode, &sources) && mode == MCAST_EXCLUDE &&
			   sources == 0,
		   "the group is lost");
	test_check(is_member(joined, "239.9.8.6", &mode, &sources) && mode == MCAST_INCLUDE &&
			   sources == 1,
		   "the group with a source is lost");
	test_check(!is_member(any4, "239.9.8.7", &mode, &sources), "another socket has joined");
	test_check(!has_groups6 || is_member(joined6, "ff15::1234", &mode, &sources),
		   "the group of IPv6 is lost");
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	make_sockets();

	test_checkpoint_here();

	check_queues();
	check_told();
	check_talk();
	check_options();
	test_pass();
}
