/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet lock, and the messages that it is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/nft.h"
#include "network/lock.h"

enum { SHORT_MS = 60, MARK = 0x1234567 };

/* ---- messages ---- */

static void messages_have_their_form(void **state)
{
	/* nfnetlink.h, nf_tables.h: begin of the batch, then "delete table inet t". */
	static const uint8_t expected[] = {
		20, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10,
		28, 0, 0, 0, 2, 10, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
		6, 0, 1, 0, 't', 0, 0, 0,
	};
	_cleanup_nft_batch_ struct nft_batch b = { 0 };

	nft_message(&b, NFT_MSG_DELTABLE, 0, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, "t");
	/* A message gets its length when the next one begins. */
	nft_message(&b, NFT_MSG_DELTABLE, 0, NFPROTO_INET);
	assert_false(b.failed);
	assert_memory_equal(b.bytes.data, expected, sizeof(expected));
}

static void nested_attributes_have_their_length(void **state)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	size_t outer, inner;
	uint16_t length[2];

	nft_message(&b, NFT_MSG_NEWSET, 0, NFPROTO_INET);
	outer = nft_nest(&b, 1);
	nft_put_u32(&b, 1, 0x01020304);
	inner = nft_nest(&b, 2);
	nft_put(&b, 3, "abc", 3);
	nft_nest_end(&b, inner);
	nft_nest_end(&b, outer);
	memcpy(&length[0], b.bytes.data + outer, 2);
	memcpy(&length[1], b.bytes.data + inner, 2);
	assert_int_equal(length[0], 4 + 8 + 4 + 8);
	assert_int_equal(length[1], 4 + 8);
	assert_memory_equal(b.bytes.data + outer + 8, "\1\2\3\4", 4);
}

static void what_is_too_large_is_not_sent(void **state)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	static const char large[70000];
	size_t nest;

	nft_message(&b, NFT_MSG_NEWSET, 0, NFPROTO_INET);
	nest = nft_nest(&b, 1);
	nft_put(&b, 1, large, 40000);
	nft_put(&b, 1, large, 40000);
	nft_nest_end(&b, nest);
	assert_int_equal(nft_commit(&b, -1), -1);
	assert_int_equal(errno, EMSGSIZE);
	nft_put(&b, 1, large, sizeof(large));
	assert_true(b.failed);
}

static void the_kernel_tells_of_errors(void **state)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	_cleanup_fd_ int fd = nft_open();

	nft_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, "half");
	nft_message(&b, NFT_MSG_DELTABLE, 0, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, "other");
	assert_int_equal(nft_commit(&b, fd), -1);
	assert_int_equal(errno, ENOENT);
	/* All or nothing. */
	assert_int_equal(nft_remove_table(-1, NFPROTO_INET, "half"), -1);
	assert_int_equal(errno, ENOENT);
	nft_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, "half");
	assert_int_equal(nft_try(&b, fd), 0);
	assert_int_equal(nft_remove_table(-1, NFPROTO_INET, "half"), -1);
	nft_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, "half");
	assert_int_equal(nft_commit(&b, fd), 0);
	assert_int_equal(nft_remove_table(-1, NFPROTO_INET, "half"), 0);
}

/* ---- the lock ---- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct pair {
	int family, listener, client, server;
	union address there;
};

static void connect_pair(struct pair *p, int family)
{
	socklen_t size = sizeof(p->there);

	*p = (struct pair){ .family = family };
	p->there.any.sa_family = family;
	if (family == AF_INET)
		p->there.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		p->there.v6.sin6_addr = in6addr_loopback;
	p->listener = socket(family, SOCK_STREAM, 0);
	p->client = socket(family, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listener, &p->there.any, size), 0);
	assert_int_equal(listen(p->listener, 4), 0);
	assert_int_equal(getsockname(p->listener, &p->there.any, &size), 0);
	assert_int_equal(connect(p->client, &p->there.any, size), 0);
	p->server = accept(p->listener, NULL, NULL);
	assert_true(p->server >= 0);
}

static void close_pair(struct pair *p)
{
	close(p->server);
	close(p->client);
	close(p->listener);
}

static bool arrives(int from, int to, int timeout_ms)
{
	struct pollfd poller = { .fd = to, .events = POLLIN };
	char byte = 'x';

	assert_int_equal(send(from, &byte, 1, MSG_NOSIGNAL), 1);
	return poll(&poller, 1, timeout_ms) == 1 && recv(to, &byte, 1, 0) == 1;
}

static void flow_of(const struct pair *p, struct lock_flows *flows)
{
	struct lock_flow *flow = array_add(&flows->list);
	union address a[2];
	socklen_t size = sizeof(a[0]), other = sizeof(a[0]);

	assert_non_null(flow);
	assert_int_equal(getsockname(p->server, &a[0].any, &size), 0);
	assert_int_equal(getpeername(p->server, &a[1].any, &other), 0);
	flow->family = p->family;
	flow->local_port = a[0].v4.sin_port;	/* at the same place in both */
	flow->remote_port = a[1].v4.sin_port;
	if (p->family == AF_INET) {
		memcpy(flow->local, &a[0].v4.sin_addr, 4);
		memcpy(flow->remote, &a[1].v4.sin_addr, 4);
	} else {
		memcpy(flow->local, &a[0].v6.sin6_addr, 16);
		memcpy(flow->remote, &a[1].v6.sin6_addr, 16);
	}
}

static void lock(struct network_lock *l, const struct lock_wish *wish)
{
	_cleanup_error_ struct error err = { 0 };

	*l = NETWORK_LOCK_NONE;
	if (network_lock(l, wish, &err))
		fail_msg("%s", err.message);
}

static void connections_are_locked(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct network_lock l;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct lock_flows flows = { 0 };
		struct pair locked, other;
		char byte;

		connect_pair(&locked, families[i]);
		connect_pair(&other, families[i]);
		flow_of(&locked, &flows);
		lock(&l, &(struct lock_wish){ .flows = &flows });
		assert_false(arrives(locked.client, locked.server, SHORT_MS));
		assert_false(arrives(locked.server, locked.client, SHORT_MS));
		assert_true(arrives(other.client, other.server, 1000));
		network_unlock(&l);
		assert_int_equal(l.fd, -1);
		/* Sent once more. */
		assert_int_equal(recv(locked.server, &byte, 1, 0), 1);
		assert_int_equal(recv(locked.client, &byte, 1, 0), 1);
		close_pair(&locked);
		close_pair(&other);
		lock_flows_release(&flows);
	}
}

static void many_connections_fit(void **state)
{
	struct lock_flows flows = { 0 };
	struct network_lock l;
	struct pair p;

	for (int i = 0; i < 3000; i++) {
		struct lock_flow *flow = array_add(&flows.list);

		assert_non_null(flow);
		flow->family = i % 2 ? AF_INET : AF_INET6;
		flow->local[0] = i;
		flow->remote_port = i;
	}
	connect_pair(&p, AF_INET6);
	flow_of(&p, &flows);
	flow_of(&p, &flows);	/* twice does not matter */
	lock(&l, &(struct lock_wish){ .flows = &flows });
	assert_false(arrives(p.client, p.server, SHORT_MS));
	network_unlock(&l);
	close_pair(&p);
	lock_flows_release(&flows);
}

static void marked_packets_pass(void **state)
{
	struct lock_flows flows = { 0 };
	const uint32_t mark = MARK;
	struct network_lock l;
	struct pair p;

	connect_pair(&p, AF_INET);
	flow_of(&p, &flows);
	assert_int_equal(setsockopt(p.client, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	lock(&l, &(struct lock_wish){ .flows = &flows, .pass_mark = MARK });
	assert_true(arrives(p.client, p.server, 1000));
	assert_false(arrives(p.server, p.client, SHORT_MS));
	network_unlock(&l);
	close_pair(&p);
	lock_flows_release(&flows);
}

static bool can_connect(const union address *to)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd poller = { .fd = fd, .events = POLLOUT };
	bool can;

	connect(fd, &to->any, sizeof(*to));
	can = poll(&poller, 1, SHORT_MS) == 1;
	close(fd);
	return can;
}

static void connections_do_not_begin(void **state)
{
	struct lock_flows flows = { 0 };
	struct network_lock l;
	struct pair p, other;

	connect_pair(&p, AF_INET);
	connect_pair(&other, AF_INET);
	*array_add(&flows.ports) = p.there.v4.sin_port;
	lock(&l, &(struct lock_wish){ .flows = &flows });
	assert_false(can_connect(&p.there));
	assert_true(can_connect(&other.there));
	assert_true(arrives(p.client, p.server, 1000));
	network_unlock(&l);
	assert_true(can_connect(&p.there));
	close_pair(&p);
	close_pair(&other);
	lock_flows_release(&flows);
}

static bool pings(int fd, const struct sockaddr_in *to)
{
	char byte = 'x';

	return sendto(fd, &byte, 1, 0, (const struct sockaddr *)to, sizeof(*to)) == 1;
}

/* A route to elsewhere is enough to see that nothing goes out. */
static void everything_is_locked_but_loopback(void **state)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct network_lock l;
	struct pair p;

	inet_pton(AF_INET, "192.0.2.77", &there.sin_addr);
	connect_pair(&p, AF_INET);
	assert_true(pings(fd, &there));
	lock(&l, &(struct lock_wish){ .everything = true });
	assert_false(pings(fd, &there));
	assert_int_equal(errno, EPERM);
	assert_true(arrives(p.client, p.server, 1000));
	network_unlock(&l);
	assert_true(pings(fd, &there));
	close_pair(&p);
	close(fd);
}

static void it_goes_with_its_owner(void **state)
{
	struct lock_flows flows = { 0 };
	struct network_lock l;
	struct pair p;
	int told[2];
	pid_t pid;
	char byte;

	connect_pair(&p, AF_INET);
	flow_of(&p, &flows);
	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		lock(&l, &(struct lock_wish){ .flows = &flows });
		if (write(told[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_false(arrives(p.client, p.server, SHORT_MS));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(recv(p.server, &byte, 1, 0), 1);
	close(told[0]);
	close(told[1]);
	close_pair(&p);
	lock_flows_release(&flows);
}

static void a_staying_one_stays_until_it_is_removed(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	const uint8_t id[16] = { 0xab, 0xcd };
	struct lock_flows flows = { 0 };
	struct network_lock l;
	char name[LOCK_NAME];
	struct pair p;

	network_lock_name(id, sizeof(id), name);
	assert_string_equal(name, "criu-lite-abcd0000000000000000000000000000");
	connect_pair(&p, AF_INET);
	flow_of(&p, &flows);
	assert_int_equal(network_lock_remove(name, NULL, &err), 0);
	lock(&l, &(struct lock_wish){ .flows = &flows, .stays = name });
	assert_int_equal(l.fd, -1);
	assert_false(arrives(p.client, p.server, SHORT_MS));
	assert_int_equal(network_lock_remove(name, NULL, &err), 1);
	assert_int_equal(network_lock_remove(name, NULL, &err), 0);
	close_pair(&p);
	lock_flows_release(&flows);
}

/* ip(8), from iproute2. */
static int ip(char *const arguments[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp("ip", arguments);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* A namespace with "lo" and a network from which nobody answers. */
static int enter_namespace(void **state)
{
	static char *const commands[][12] = {
		{ "ip", "link", "set", "lo", "up", NULL },
		{ "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", NULL },
		{ "ip", "address", "add", "192.0.2.1/24", "dev", "v0", NULL },
		{ "ip", "link", "set", "v0", "up", NULL },
		{ "ip", "link", "set", "v1", "up", NULL },
	};

	if (unshare(CLONE_NEWNET)) {
		print_message("# no network namespace: %s\n", strerror(errno));
		*state = NULL;
		return 0;
	}
	*state = state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (ip(commands[i]))
			return -1;
	return 0;
}

static int only_in_namespace(void **state)
{
	if (!*state)
		skip();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_their_form),
		cmocka_unit_test(nested_attributes_have_their_length),
		cmocka_unit_test(what_is_too_large_is_not_sent),
		cmocka_unit_test_setup(the_kernel_tells_of_errors, only_in_namespace),
		cmocka_unit_test_setup(connections_are_locked, only_in_namespace),
		cmocka_unit_test_setup(many_connections_fit, only_in_namespace),
		cmocka_unit_test_setup(marked_packets_pass, only_in_namespace),
		cmocka_unit_test_setup(connections_do_not_begin, only_in_namespace),
		cmocka_unit_test_setup(everything_is_locked_but_loopback, only_in_namespace),
		cmocka_unit_test_setup(it_goes_with_its_owner, only_in_namespace),
		cmocka_unit_test_setup(a_staying_one_stays_until_it_is_removed,
				       only_in_namespace),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
