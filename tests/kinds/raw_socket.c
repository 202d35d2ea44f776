/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw sockets go on hearing their protocol, through their filters. */
#include "testing.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static int icmp, icmp6, own, filtered;

static uint16_t check_of(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t total = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		total += bytes[i] << 8 | bytes[i + 1];
	total = (total & 0xffff) + (total >> 16);
	return htons(~(total + (total >> 16)) & 0xffff);
}

/* Asks ourselves for an echo. */
static void send_echo(int fd, uint16_t id)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo.id = htons(id) };

	echo.checksum = check_of(&echo, sizeof(echo));
	test_must(sendto(fd, &echo, sizeof(echo), 0, (void *)&to, sizeof(to)) == sizeof(echo));
}

static bool hears(int fd, int ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, ms) == 1;
}

/* A socket that is connected hears its peer alone, and another one of the same protocol both. */
static void say(const char *from, const char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET }, to = a;
	int fd = socket(AF_INET, SOCK_RAW, 253);

	a.sin_addr.s_addr = inet_addr(from);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_must(fd >= 0 && !bind(fd, (void *)&a, sizeof(a)));
	test_must(sendto(fd, text, 4, 0, (void *)&to, sizeof(to)) == 4);
	close(fd);
}

static void expect_own(int fd)
{
	char packet[64] = { 0 };

	say("127.0.0.77", "else");
	say("127.0.0.78", "peer");
	test_check(hears(fd, 2000) && recv(fd, packet, sizeof(packet), 0) == 24 &&
			   !memcmp(packet + 20, "peer", 4),
		   "the connected socket hears '%s'", packet + 20);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sock_filter nothing[] = { { BPF_RET | BPF_K, 0, 0, 0 } }, now[8];
	struct sock_fprog program = { 1, nothing };
	struct icmp6_filter filter6, filter6_now;
	struct icmp_filter filter = { ~(1u << ICMP_ECHOREPLY) }, filter_now = { 0 };
	int one = 1, hdrincl = 0;
	socklen_t size;
	char packet[256];
	uint16_t id;

	test_init(argc, argv);
	icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	test_must(icmp >= 0);
	test_must(!setsockopt(icmp, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)));
	test_must(!bind(icmp, (void *)&a, sizeof(a)));
	icmp6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	ICMP6_FILTER_SETBLOCKALL(&filter6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter6);
	test_must(!setsockopt(icmp6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter6, sizeof(filter6)));
	own = socket(AF_INET, SOCK_RAW, 253);
	a.sin_addr.s_addr = inet_addr("127.0.0.78");
	test_must(!connect(own, (void *)&a, sizeof(a)));
	test_must(!setsockopt(own, SOL_IP, IP_HDRINCL, &one, sizeof(one)));
	filtered = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	test_must(!setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	test_must(!setsockopt(filtered, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)));

	test_checkpoint_here();

	send_echo(icmp, getpid());
	/* Others may ping too. */
	do {
		test_check(hears(icmp, 2000), "no echo");
		test_check(recv(icmp, packet, sizeof(packet), 0) >= 28 &&
				   packet[20] == ICMP_ECHOREPLY,
			   "type %d", packet[20]);
		memcpy(&id, packet + 24, sizeof(id));
	} while (ntohs(id) != (uint16_t)getpid());
	test_check(!hears(filtered, 0), "the attached filter passes something");
	size = 8;
	test_check(!getsockopt(filtered, SOL_SOCKET, SO_GET_FILTER, now, &size) && size == 1 &&
			   !memcmp(now, nothing, sizeof(nothing)),
		   "attached filter");
	test_check(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) <
				   0 &&
			   errno == EPERM,
		   "the filter is not locked");
	size = sizeof(filter_now);
	test_check(!getsockopt(icmp, SOL_RAW, ICMP_FILTER, &filter_now, &size) &&
			   filter_now.data == filter.data,
		   "filter %#x", filter_now.data);
	size = sizeof(filter6_now);
	test_check(!getsockopt(icmp6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter6_now, &size) &&
			   !memcmp(&filter6, &filter6_now, size),
		   "filter of IPv6");
	size = sizeof(hdrincl);
	test_check(!getsockopt(own, SOL_IP, IP_HDRINCL, &hdrincl, &size) && hdrincl == 1,
		   "IP_HDRINCL");
	expect_own(own);
	test_pass();
}
