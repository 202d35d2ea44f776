/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ping sockets keep their ids, options and peers, and go on pinging. */
/* test: kinds=raw_socket */
/* test: own=network */
#include "sockets.h"

#include <arpa/inet.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <poll.h>

static int plain, connected, six;
static uint16_t id, id6;

static const union address home = {
	.v4 = { .sin_family = AF_INET, .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK) } };
static const union address home6 = {
	.v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } };

/* A question and its answer, which has the socket's id. */
static void ping(int fd, const union address *to, uint16_t sequence)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	struct icmphdr echo = { .type = to && to->any.sa_family == AF_INET6 ? ICMP6_ECHO_REQUEST :
									     ICMP_ECHO,
				.un.echo.sequence = htons(sequence) };
	struct icmphdr answer = { 0 };

	test_must(sendto(fd, &echo, sizeof(echo), 0, &to->any, to ? sizeof(*to) : 0) ==
		  sizeof(echo));
	test_check(poll(&poller, 1, 2000) == 1, "no answer");
	test_must(recv(fd, &answer, sizeof(answer), 0) == sizeof(answer));
	test_check(answer.un.echo.sequence == htons(sequence) && answer.un.echo.id == port_of(fd),
		   "the answer %u has the id %u", ntohs(answer.un.echo.sequence),
		   ntohs(answer.un.echo.id));
}

int main(int argc, char **argv)
{
	int ttl = 33, now = 0;
	socklen_t ttl_size = sizeof(now);

	test_init(argc, argv);
	plain = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	if (plain < 0)
		test_skip("net.ipv4.ping_group_range leaves us out");
	ping(plain, &home, 1);
	id = port_of(plain);
	connected = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	test_must(!connect(connected, &home.any, sizeof(home.v4)));
	test_must(!setsockopt(connected, SOL_IP, IP_TTL, &ttl, sizeof(ttl)));
	six = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
	test_must(six >= 0);
	ping(six, &home6, 1);
	id6 = port_of(six);

	test_checkpoint_here();

	test_check(port_of(plain) == id && port_of(six) == id6,
		   "the ids are %u and %u, were %u and %u", port_of(plain), port_of(six), id, id6);
	ping(plain, &home, 2);
	ping(six, &home6, 2);
	ping(connected, NULL, 3);
	test_check(!getsockopt(connected, SOL_IP, IP_TTL, &now, &ttl_size) && now == ttl,
		   "IP_TTL is %d", now);
	test_pass();
}
