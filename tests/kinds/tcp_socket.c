/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP listeners and connections inside the tree go on, with queues, options and closed ends. */
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>

static union address loopback(int family, in_port_t port)
{
	union address a = { .any.sa_family = family };

	if (family == AF_INET) {
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.v4.sin_port = port;
	} else {
		a.v6.sin6_addr = in6addr_loopback;
		a.v6.sin6_port = port;
	}
	return a;
}

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	test_must(!getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size));
	return info.tcpi_state;
}

static int listener(int family, int backlog)
{
	union address a = loopback(family, 0);
	int fd = socket(family, SOCK_STREAM, 0);

	test_must(fd >= 0 && !bind(fd, &a.any, sizeof(a)) && !listen(fd, backlog));
	return fd;
}

static int client_of(int listener, int family)
{
	union address a = loopback(family, port_of(listener));
	int fd = socket(family, SOCK_STREAM, 0);

	test_check(!connect(fd, &a.any, sizeof(a)), "connect to port %u", ntohs(port_of(listener)));
	return fd;
}

static void expect_talk(int a, int b, const char *what)
{
	char got[16] = { 0 };

	test_check(write(a, "ping", 4) == 4 && recv(b, got, 4, MSG_WAITALL) == 4 &&
			   !memcmp(got, "ping", 4),
		   "%s: got '%s'", what, got);
	test_check(write(b, "echo", 4) == 4 && recv(a, got, 4, MSG_WAITALL) == 4 &&
			   !memcmp(got, "echo", 4),
		   "%s: got '%s'", what, got);
}

/* ---- listeners ---- */

static int plain, optioned, any_family;
static in_port_t plain_port;

static void make_listeners(void)
{
	union address any = { .v6 = { .sin6_family = AF_INET6 } };

	plain = listener(AF_INET, 3);
	plain_port = port_of(plain);
	optioned = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	set_option(optioned, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(optioned, SOL_SOCKET, SO_REUSEPORT, 1);
	set_option(optioned, SOL_IPV6, IPV6_V6ONLY, 1);
	set_option(optioned, SOL_SOCKET, SO_RCVBUF, 50000);
	test_must(!bind(optioned, &any.any, sizeof(any.v6)) && !listen(optioned, 77));
	set_option(optioned, SOL_TCP, TCP_DEFER_ACCEPT, 3);
	set_option(optioned, SOL_TCP, TCP_FASTOPEN, 5);
	set_option(optioned, SOL_TCP, TCP_NODELAY, 1);
	any_family = socket(AF_INET6, SOCK_STREAM, 0);
	test_must(!bind(any_family, &any.any, sizeof(any.v6)) && !listen(any_family, 1));
}

static int backlog_of(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	test_must(!getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size));
	return info.tcpi_sacked;
}

static void check_listeners(void)
{
	int client, server;

	test_check(port_of(plain) == plain_port, "port %u", ntohs(port_of(plain)));
	test_check(backlog_of(plain) == 3, "backlog %d", backlog_of(plain));
	test_check(get_option(plain, SOL_SOCKET, SO_REUSEADDR) == 0, "SO_REUSEADDR came");
	client = client_of(plain, AF_INET);
	server = accept(plain, NULL, NULL);
	expect_talk(client, server, "new connection");
	test_check(backlog_of(optioned) == 77, "backlog %d", backlog_of(optioned));
	test_check(get_option(optioned, SOL_SOCKET, SO_REUSEADDR) == 1, "SO_REUSEADDR");
	test_check(get_option(optioned, SOL_SOCKET, SO_REUSEPORT) == 1, "SO_REUSEPORT");
	test_check(get_option(optioned, SOL_IPV6, IPV6_V6ONLY) == 1, "IPV6_V6ONLY");
	test_check(get_option(optioned, SOL_SOCKET, SO_RCVBUF) == 100000, "SO_RCVBUF");
	test_check(get_option(optioned, SOL_TCP, TCP_DEFER_ACCEPT) == 3, "TCP_DEFER_ACCEPT");
	test_check(get_option(optioned, SOL_TCP, TCP_FASTOPEN) == 5, "TCP_FASTOPEN");
	test_check(get_option(optioned, SOL_TCP, TCP_NODELAY) == 1, "TCP_NODELAY");
	test_check(accept(optioned, NULL, NULL) < 0 && errno == EAGAIN, "O_NONBLOCK");
}

/* ---- connections ---- */

static int pair4[2], pair6[2], mapped[2], tuned[2];

static void make_connections(void)
{
	union address a;

	pair4[0] = client_of(plain, AF_INET);
	pair4[1] = accept(plain, NULL, NULL);
	test_must(write(pair4[0], "to the server", 13) == 13);
	test_must(write(pair4[1], "to the client", 13) == 13);
	int l6 = listener(AF_INET6, 1);

	pair6[0] = client_of(l6, AF_INET6);
	pair6[1] = accept(l6, NULL, NULL);
	close(l6);
	/* An IPv4 client of an IPv6 listener. */
	a = loopback(AF_INET, port_of(any_family));
	mapped[0] = socket(AF_INET, SOCK_STREAM, 0);
	test_must(!connect(mapped[0], &a.any, sizeof(a.v4)));
	mapped[1] = accept(any_family, NULL, NULL);
	test_must(socket_address(mapped[1], true).any.sa_family == AF_INET6);
	tuned[0] = client_of(plain, AF_INET);
	tuned[1] = accept(plain, NULL, NULL);
	set_option(tuned[0], SOL_TCP, TCP_NODELAY, 1);
	set_option(tuned[0], SOL_TCP, TCP_KEEPIDLE, 33);
	set_option(tuned[0], SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(tuned[0], SOL_TCP, TCP_USER_TIMEOUT, 12345);
	set_option(tuned[0], SOL_IP, IP_TOS, 0x10);
	set_option(tuned[0], SOL_SOCKET, SO_PRIORITY, 5);
	test_must(!setsockopt(tuned[0], SOL_TCP, TCP_CONGESTION, "reno", 4));
	set_option(tuned[1], SOL_SOCKET, SO_SNDBUF, 40000);
}

static void expect_text(int fd, const char *text)
{
	char got[64] = { 0 };
	size_t size = strlen(text);

	test_check(recv(fd, got, size, MSG_DONTWAIT) == (ssize_t)size && !memcmp(got, text, size),
		   "got '%s', expected '%s'", got, text);
	test_check(recv(fd, got, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "more than '%s'", text);
}

static void check_connections(void)
{
	char congestion[16] = { 0 };
	socklen_t size = sizeof(congestion);
	struct tcp_info info;

	expect_text(pair4[1], "to the server");
	expect_text(pair4[0], "to the client");
	expect_talk(pair4[0], pair4[1], "IPv4");
	test_check(socket_address(pair4[0], true).v4.sin_port == plain_port, "peer of the client");
	expect_talk(pair6[0], pair6[1], "IPv6");
	expect_talk(mapped[0], mapped[1], "IPv4 mapped into IPv6");
	expect_talk(tuned[0], tuned[1], "tuned");
	test_check(get_option(tuned[0], SOL_TCP, TCP_NODELAY) == 1, "TCP_NODELAY");
	test_check(get_option(tuned[1], SOL_TCP, TCP_NODELAY) == 0, "TCP_NODELAY came");
	test_check(get_option(tuned[0], SOL_TCP, TCP_KEEPIDLE) == 33, "TCP_KEEPIDLE");
	test_check(get_option(tuned[0], SOL_SOCKET, SO_KEEPALIVE) == 1, "SO_KEEPALIVE");
	test_check(get_option(tuned[0], SOL_TCP, TCP_USER_TIMEOUT) == 12345, "TCP_USER_TIMEOUT");
	test_check(get_option(tuned[0], SOL_IP, IP_TOS) == 0x10, "IP_TOS");
	test_check(get_option(tuned[0], SOL_SOCKET, SO_PRIORITY) == 5, "SO_PRIORITY");
	test_check(!getsockopt(tuned[0], SOL_TCP, TCP_CONGESTION, congestion, &size) &&
			   !strcmp(congestion, "reno"),
		   "congestion control is '%s'", congestion);
	test_check(get_option(tuned[1], SOL_SOCKET, SO_SNDBUF) == 80000, "SO_SNDBUF");
	test_check(get_option(tuned[0], SOL_SOCKET, SO_REUSEADDR) == 0, "SO_REUSEADDR came");
	size = sizeof(info);
	test_must(!getsockopt(pair4[0], SOL_TCP, TCP_INFO, &info, &size));
	test_check(info.tcpi_options & TCPI_OPT_TIMESTAMPS, "timestamps are off");
	test_check(info.tcpi_options & TCPI_OPT_WSCALE && info.tcpi_snd_wscale, "no window scale");
	test_check(info.tcpi_snd_mss > 20000, "segments of %u bytes", info.tcpi_snd_mss);
}

/* ---- full queues ---- */

static int full[2];
static size_t full_bytes[2];

static void put_words(int fd, uint32_t seed, size_t *ret)
{
	uint32_t words[4096];
	ssize_t n;

	for (*ret = 0;; *ret += n) {
		for (size_t i = 0; i < 4096; i++)
			words[i] = (*ret / 4 + i) * 2654435761u + seed;
		n = send(fd, words, sizeof(words), MSG_DONTWAIT);
		if (n < 0)
			break;
		test_must(n % 4 == 0 || n > 0);
		if (n % 4) {
			*ret += n;
			return;
		}
	}
}

static void make_full(void)
{
	full[0] = client_of(plain, AF_INET);
	full[1] = accept(plain, NULL, NULL);
	put_words(full[0], 1, &full_bytes[0]);
	put_words(full[1], 2, &full_bytes[1]);
	test_must(full_bytes[0] > 300000 && full_bytes[1] > 300000);
}

static void expect_words(int fd, uint32_t seed, size_t size)
{
	uint8_t buffer[16384];

	for (size_t at = 0; at < size;) {
		size_t part = size - at < sizeof(buffer) ? size - at : sizeof(buffer);
		ssize_t n = recv(fd, buffer, part, 0);

		test_check(n > 0, "only %zu of %zu bytes came", at, size);
		for (ssize_t i = 0; i < n; i++, at++) {
			uint32_t word = (at / 4) * 2654435761u + seed;

			test_check(buffer[i] == (uint8_t)(word >> at % 4 * 8), "byte %zu is %#x",
				   at, buffer[i]);
		}
	}
}

static void check_full(void)
{
	expect_words(full[1], 1, full_bytes[0]);
	expect_words(full[0], 2, full_bytes[1]);
	expect_talk(full[0], full[1], "emptied");
}

/* ---- waiting ---- */

static int waits_at, waiting[2];

static int count_of_waiting(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	test_must(!getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size));
	return info.tcpi_unacked;
}

static void make_waiting(void)
{
	waits_at = listener(AF_INET, 5);
	waiting[0] = client_of(waits_at, AF_INET);
	waiting[1] = client_of(waits_at, AF_INET);
	test_must(!shutdown(waiting[1], SHUT_WR));
	test_wait_until(count_of_waiting(waits_at) == 2, "nobody waits");
}

static void check_waiting(void)
{
	int first = accept(waits_at, NULL, NULL), second = accept(waits_at, NULL, NULL);
	char byte;

	test_must(first >= 0 && second >= 0);
	test_check(socket_address(first, true).v4.sin_port == port_of(waiting[0]),
		   "the wrong one came first");
	expect_talk(first, waiting[0], "waiting client");
	test_check(read(second, &byte, 1) == 0, "shutdown of a waiting client");
}

/* ---- closed ends ---- */

static int half[2], orphan, finished[2], reset, read_shut[2];

static void make_closed(void)
{
	const struct linger at_once = { .l_onoff = 1 };
	int other;

	half[0] = client_of(plain, AF_INET);
	half[1] = accept(plain, NULL, NULL);
	test_must(write(half[0], "bye", 3) == 3 && !shutdown(half[0], SHUT_WR));
	orphan = client_of(plain, AF_INET);
	other = accept(plain, NULL, NULL);
	test_must(write(other, "last", 4) == 4 && !close(other));
	finished[0] = client_of(plain, AF_INET);
	finished[1] = accept(plain, NULL, NULL);
	test_must(write(finished[1], "rest", 4) == 4 && !shutdown(finished[0], SHUT_WR) &&
		  !shutdown(finished[1], SHUT_WR));
	test_wait_until(state_of(finished[0]) == TCP_CLOSE && state_of(finished[1]) == TCP_CLOSE,
			"states %d and %d", state_of(finished[0]), state_of(finished[1]));
	reset = client_of(plain, AF_INET);
	other = accept(plain, NULL, NULL);
	setsockopt(other, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(other);
	read_shut[0] = client_of(plain, AF_INET);
	read_shut[1] = accept(plain, NULL, NULL);
	test_must(!shutdown(read_shut[0], SHUT_RD));
	test_wait_until(state_of(half[1]) == TCP_CLOSE_WAIT && state_of(half[0]) == TCP_FIN_WAIT2 &&
				state_of(orphan) == TCP_CLOSE_WAIT && state_of(reset) == TCP_CLOSE,
			"what was sent does not arrive");
}

static void check_closed(void)
{
	char got[16];

	test_check(read(half[1], got, 16) == 3 && read(half[1], got, 16) == 0, "half-closed");
	test_check(send(half[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "half-closed");
	test_check(write(half[1], "back", 4) == 4 && read(half[0], got, 16) == 4, "open half");
	test_check(read(orphan, got, 16) == 4 && !memcmp(got, "last", 4), "last words");
	test_check(read(orphan, got, 16) == 0, "end of an orphan");
	test_check(read(finished[0], got, 16) == 4 && !memcmp(got, "rest", 4), "rest");
	test_check(read(finished[0], got, 16) == 0, "end");
	test_check(send(finished[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "finished");
	test_check(read(finished[1], got, 16) == 0, "end of the other side");
	test_check(read(reset, got, 16) < 0 && errno == ECONNRESET, "reset");
	test_check(read(read_shut[0], got, 16) == 0, "SHUT_RD");
	test_check(write(read_shut[0], "still", 5) == 5 && read(read_shut[1], got, 16) == 5,
		   "SHUT_RD closed the other direction");
}

int main(int argc, char **argv)
{
	int unbound, bound;

	test_init(argc, argv);
	make_listeners();
	make_connections();
	make_full();
	make_waiting();
	make_closed();
	unbound = socket(AF_INET, SOCK_STREAM, 0);
	bound = socket(AF_INET, SOCK_STREAM, 0);
	union address a = loopback(AF_INET, 0);

	test_must(!bind(bound, &a.any, sizeof(a.v4)));
	a = socket_address(bound, false);

	test_checkpoint_here();

	check_listeners();
	check_connections();
	check_full();
	check_waiting();
	check_closed();
	test_check(port_of(bound) == a.v4.sin_port, "bound to port %u", ntohs(port_of(bound)));
	test_check(port_of(unbound) == 0, "an unbound socket has a port");
	test_check(recv(unbound, &a, 1, 0) < 0 && errno == ENOTCONN, "unconnected");
	test_pass();
}
