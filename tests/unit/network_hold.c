/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets that nobody took are held, and arrive later as if nothing had been. */
/* test: kinds=held_packets */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kinds/net/held_packets.h"
#include "network/lock.h"
#include "network/replay.h"
#include "network_world.h"

enum { PORT = 7000, CHUNK = 256 << 10, WAIT_MS = 30 };

struct world {
	int here, inside;	/* namespaces: the host's with the client, the container's */
	struct hold *hold;
	struct held_packets packets;
	struct replayer *replayer;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	w->here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	w->inside = new_namespace();
	add_link(w->inside, "eth0", "p0", "02:00:00:00:00:22");
	run_in(-1, "ip addr add 10.99.0.1/24 dev p0 && ip addr add fd00:99::1/64 dev p0 nodad");
	run_in(w->inside,
	       "ip addr add 10.99.0.2/24 dev eth0 && ip addr add fd00:99::2/64 dev eth0 nodad");
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	hold_end(w->hold);
	replayer_free(w->replayer);
	held_packets_release(&w->packets);
	run_in(-1, "ip link del p0");
	close(w->inside);
	close(w->here);
	free(w);
	return 0;
}

static void start_hold(struct world *w)
{
	int back;

	must(netns_enter(w->inside, &back, &err));
	must(hold_start(&w->hold, &err));
	must(netns_leave(&back, &err));
}

static void lock(struct world *w)
{
	run_in(w->inside, "nft 'table inet t { chain i { type filter hook input priority 0; "
			  "policy drop; }; chain o { type filter hook output priority 0; "
			  "policy drop; }; }'");
}

static void unlock(struct world *w)
{
	run_in(w->inside, "nft delete table inet t");
}

static void open_replayer(struct world *w)
{
	int back;

	must(netns_enter(w->inside, &back, &err));
	must(replayer_open(&w->replayer, w->here, &err));
	must(netns_leave(&back, &err));
}

static struct replay_report play(struct world *w)
{
	struct replay_report report, more;

	if (!w->replayer)
		open_replayer(w);
	replayer_play(w->replayer, &w->packets, REPLAY_FOR_SOCKETS, &report);
	replayer_play(w->replayer, &w->packets, REPLAY_FOR_PROGRAM, &more);
	report.arrived += more.arrived;
	report.foreign += more.foreign;
	report.no_way += more.no_way;
	report.refused += more.refused;
	return report;
}

/* ---- TCP ---- */

static socklen_t name(int family, const char *host, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = family;
	v4->sin_port = htons(PORT);
	assert_int_equal(inet_pton(family, host,
				   family == AF_INET ? (void *)&v4->sin_addr : &v6->sin6_addr), 1);
	return family == AF_INET ? sizeof(*v4) : sizeof(*v6);
}

/* Answers each chunk with the sum of its bytes. */
static void serve(int listener)
{
	static uint8_t data[65536];
	int fd = accept(listener, NULL, NULL);
	uint32_t sum = 0, count = 0;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++, count++) {
			if (count == CHUNK) {
				send(fd, &sum, sizeof(sum), 0);
				count = sum = 0;
			}
			sum += data[i];
		}
		if (count == CHUNK) {
			send(fd, &sum, sizeof(sum), 0);
			count = sum = 0;
		}
	}
	_exit(n < 0);
}

static pid_t start_server(struct world *w, int family)
{
	struct sockaddr_storage a;
	socklen_t size = name(family, family == AF_INET ? "10.99.0.2" : "fd00:99::2", &a);
	int listener = netns_socket(w->inside, family, SOCK_STREAM, 0, NULL);
	pid_t pid;

	assert_true(listener >= 0 && !bind(listener, (void *)&a, size) && !listen(listener, 1));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener);
	}
	close(listener);
	return pid;
}

static uint32_t send_chunk(int fd, uint8_t seed)
{
	static uint8_t data[CHUNK];
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		sum += data[i] = seed + i * 7 / 3;
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	return sum;
}

static void expect_answer(int fd, uint32_t sum)
{
	uint32_t answer = 0;

	assert_int_equal(recv(fd, &answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
	assert_int_equal(answer, sum);
}

static size_t large_frames(const struct held_packets *p)
{
	const struct held_packet *packet;
	size_t count = 0;

	array_for(packet, &p->list)
		count += packet->header.gso_type != VIRTIO_NET_HDR_GSO_NONE && packet->size > 1514;
	return count;
}

/* How long a client waits for an answer from the moment on that the lock is off. */
static int64_t gap(struct world *w, int family, bool with_replay)
{
	struct sockaddr_storage a;
	socklen_t size = name(family, family == AF_INET ? "10.99.0.2" : "fd00:99::2", &a);
	pid_t server = start_server(w, family);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), status, room = 4 * CHUNK;
	uint32_t sum;
	int64_t before;

	assert_true(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) &&
		    !connect(fd, (void *)&a, size));
	for (int i = 0; i < 20; i++) {
		sum = send_chunk(fd, i);
		expect_answer(fd, sum);
	}
	start_hold(w);
	sum = send_chunk(fd, 100);
	expect_answer(fd, sum);
	hold_from_now(w->hold);
	lock(w);
	sum = send_chunk(fd, 101);
	usleep(WAIT_MS * 1000);
	must(hold_take(w->hold, &w->packets, &err));
	assert_true(large_frames(&w->packets) > 0);
	open_replayer(w);
	unlock(w);
	before = now_ms();
	if (with_replay) {
		struct replay_report report = play(w);

		assert_int_equal(report.arrived, w->packets.list.count);
	}
	expect_answer(fd, sum);
	before = now_ms() - before;
	print_message("it goes on after %d ms\n", (int)before);
	close(fd);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	return before;
}

static void streams_go_on_at_once(void **state)
{
	assert_in_range(gap(*state, AF_INET, true), 0, 75);
}

static void streams_of_ipv6_go_on_at_once(void **state)
{
	assert_in_range(gap(*state, AF_INET6, true), 0, 75);
}

/* Else the tests above would prove nothing. */
static void without_it_they_wait(void **state)
{
	assert_in_range(gap(*state, AF_INET, false), 80, 10000);
}

/* ---- datagrams ---- */

static int udp(int netns, const char *bind_to, const char *connect_to)
{
	struct sockaddr_storage a;
	int fd = netns_socket(netns, AF_INET, SOCK_DGRAM, 0, NULL);
	socklen_t size;

	assert_true(fd >= 0);
	if (bind_to) {
		size = name(AF_INET, bind_to, &a);
		assert_false(bind(fd, (void *)&a, size));
	}
	if (connect_to) {
		size = name(AF_INET, connect_to, &a);
		assert_false(connect(fd, (void *)&a, size));
	}
	return fd;
}

static void expect_text(int fd, const char *text)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	char got[64] = "";

	assert_int_equal(poll(&poller, 1, text ? 2000 : 50), !!text);
	if (!text)
		return;
	assert_true(recv(fd, got, sizeof(got) - 1, 0) >= 0);
	assert_string_equal(got, text);
}

/* One before the lock, two behind it, by whatever way they go. */
static void send_behind_lock(struct world *w, const char *address)
{
	int server = udp(w->inside, address, NULL), client = udp(-1, NULL, address);

	start_hold(w);
	assert_int_equal(send(client, "before", 6, 0), 6);
	expect_text(server, "before");
	assert_int_equal(send(client, "before", 6, 0), 6);
	expect_text(server, "before");
	hold_from_now(w->hold);
	lock(w);
	assert_int_equal(send(client, "one", 3, 0), 3);
	assert_int_equal(send(client, "two", 3, 0), 3);
	expect_text(server, NULL);
	must(hold_take(w->hold, &w->packets, &err));
	assert_int_equal(w->packets.list.count, 2);
	assert_int_equal(w->packets.dropped, 0);
	unlock(w);
	assert_int_equal(play(w).arrived, 2);
	expect_text(server, "one");
	expect_text(server, "two");
	expect_text(server, NULL);
	close(server);
	close(client);
}

static void each_datagram_comes_once(void **state)
{
	send_behind_lock(*state, "10.99.0.2");
}

/* What goes out on a link with a VLAN tag is held with it. */
static void tags_are_put_back(void **state)
{
	static const uint8_t frame[64] = {
		2, 0, 0, 0, 0, 0x22, 2, 0, 0, 0, 0, 0x11, 0x81, 0, 0x20, 5, 8, 0,
		[18] = 0x45, [21] = 46, [26] = 64, [27] = IPPROTO_UDP, [30] = 10, 99, 0, 1,
		[34] = 10, 99, 0, 2,
	};
	struct world *w = *state;
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("p0") };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	start_hold(w);
	assert_int_equal(sendto(fd, frame, sizeof(frame), 0, (void *)&to, sizeof(to)),
			 sizeof(frame));
	must(hold_take(w->hold, &w->packets, &err));
	assert_int_equal(w->packets.list.count, 1);
	assert_int_equal(w->packets.list.items[0].size, sizeof(frame));
	assert_memory_equal(w->packets.list.items[0].frame, frame, sizeof(frame));
	assert_int_equal(play(w).arrived, 1);
	close(fd);
}

static void bridges_inside_have_theirs(void **state)
{
	struct world *w = *state;

	run_in(-1, "ip addr add 10.98.0.1/24 dev p0");
	run_in(w->inside, "ip link add br0 address 02:00:00:00:00:99 type bridge && "
			  "ip link set br0 up && ip link set eth0 master br0 && "
			  "ip addr add 10.98.0.2/24 dev br0");
	send_behind_lock(w, "10.98.0.2");
}

static void memory_is_bounded(void **state)
{
	enum { SIZE = 60000, COUNT = 400 };
	static uint8_t data[SIZE];
	struct world *w = *state;
	struct held_packets rest = { 0 };
	int client = udp(-1, NULL, "10.99.0.2"), room = 4 << 20;

	assert_false(setsockopt(client, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)));
	start_hold(w);
	hold_from_now(w->hold);
	lock(w);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(send(client, data, SIZE, 0), SIZE);
	must(hold_take(w->hold, &w->packets, &err));
	must(hold_take(w->hold, &rest, &err));
	assert_in_range(w->packets.bytes, 1 << 20, HOLD_BYTES_MAX);
	assert_in_range(w->packets.bytes + rest.bytes, 1 << 20, HOLD_MEMORY_MAX);
	assert_true(w->packets.dropped + rest.dropped > 0);
	held_packets_release(&rest);
	unlock(w);
	close(client);
}

/* ---- new connections ---- */

static int listen_inside(const struct world *w, int family)
{
	struct sockaddr_storage a;
	socklen_t size = name(family, family == AF_INET ? "10.99.0.2" : "fd00:99::2", &a);
	int fd = netns_socket(w->inside, family, SOCK_STREAM, 0, NULL);

	assert_true(fd >= 0 && !bind(fd, (void *)&a, size) && !listen(fd, 5));
	return fd;
}

static int begin_to_connect(int netns, int family)
{
	struct sockaddr_storage a;
	socklen_t size = name(family, family == AF_INET ? "10.99.0.2" : "fd00:99::2", &a);
	int fd = netns_socket(netns, family, SOCK_STREAM | SOCK_NONBLOCK, 0, NULL);

	assert_true(fd >= 0);
	connect(fd, (void *)&a, size);
	return fd;
}

static bool connects(int fd, int timeout_ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLOUT };

	return poll(&poller, 1, timeout_ms) == 1 && !(poller.revents & POLLERR);
}

/* The one may come late, but before it is sent again; all the rest goes on meanwhile. */
static void beginnings_are_held(int family, struct world *w)
{
	const struct lock_wish wish = { .beginnings = true };
	int listener = listen_inside(w, family), back, early, late, within;
	int server = udp(w->inside, "10.99.0.2", NULL), client = udp(-1, NULL, "10.99.0.2");
	struct network_lock l;

	start_hold(w);
	early = begin_to_connect(-1, family);
	assert_true(connects(early, 2000));
	hold_from_now(w->hold);
	must(netns_enter(w->inside, &back, &err));
	must(network_lock(&l, &wish, &err));
	must(netns_leave(&back, &err));
	late = begin_to_connect(-1, family);
	within = begin_to_connect(w->inside, family);
	assert_true(connects(within, 2000));
	assert_int_equal(send(early, "x", 1, 0), 1);
	assert_int_equal(send(client, "passes", 6, 0), 6);
	expect_text(server, "passes");
	assert_false(connects(late, WAIT_MS));
	must(hold_take_beginnings(w->hold, &w->packets, &err));
	must(hold_take_beginnings(w->hold, &w->packets, &err));
	assert_int_equal(w->packets.list.count, 1);
	network_unlock(&l);
	assert_int_equal(play(w).arrived, 1);
	assert_true(connects(late, 700));
	for (int *fd = (int[]){ listener, server, client, early, late, within, -1 }; *fd >= 0; fd++)
		close(*fd);
}

static void connections_wait_outside(void **state)
{
	beginnings_are_held(AF_INET, *state);
}

static void connections_of_ipv6_wait_outside(void **state)
{
	beginnings_are_held(AF_INET6, *state);
}

/* ---- what is not for the container ---- */

static void add_frame(struct held_packets *p, const char *interface, const char *to, int protocol,
		      size_t size)
{
	uint8_t frame[64] = { [12] = 8, [14] = 0x45, [17] = 50, [22] = 64 };
	struct held_packet *packet = array_add(&p->list);

	frame[23] = protocol;
	assert_int_equal(inet_pton(AF_INET, to, frame + 30), 1);
	snprintf(packet->interface, sizeof(packet->interface), "%s", interface);
	packet->frame = malloc(size);
	memcpy(packet->frame, frame, size);
	packet->size = size;
}

static void strangers_stay_out(void **state)
{
	struct world *w = *state;
	struct replay_report report;

	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_UDP, 64);
	add_frame(&w->packets, "eth0", "10.99.0.3", IPPROTO_UDP, 64);
	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_IGMP, 64);
	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_UDP, 33);
	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_UDP, 13);
	add_frame(&w->packets, "eth7", "10.99.0.2", IPPROTO_UDP, 64);
	add_frame(&w->packets, "lo", "10.99.0.2", IPPROTO_UDP, 64);
	/* The kernel refuses what its header does not fit. */
	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_UDP, 64);
	w->packets.list.items[7].header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 5000, .csum_offset = 6,
	};
	report = play(w);
	assert_int_equal(report.arrived, 1);
	assert_int_equal(report.foreign, 4);
	assert_int_equal(report.no_way, 2);
	assert_int_equal(report.refused, 1);
}

/* ---- in images ---- */

static void messages_keep_them(void **state)
{
	struct world *w = *state;
	struct held_packets again;
	HeldPackets *m, *read;
	uint8_t *packed;
	size_t size;

	add_frame(&w->packets, "eth0", "10.99.0.2", IPPROTO_UDP, 64);
	add_frame(&w->packets, "eth1", "10.99.0.3", IPPROTO_TCP, 60);
	w->packets.list.items[1].header.gso_size = 1448;
	w->packets.dropped = 3;
	must(held_packets_save(&w->packets, 0, &m, &err));
	packed = malloc(held_packets__get_packed_size(m));
	size = held_packets__pack(m, packed);
	held_packets__free_unpacked(m, NULL);
	read = held_packets__unpack(NULL, size, packed);
	assert_non_null(read);
	must(held_packets_load(read, &again, &err));
	assert_int_equal(again.list.count, 2);
	assert_int_equal(again.dropped, 3);
	assert_int_equal(again.bytes, 124);
	assert_string_equal(again.list.items[1].interface, "eth1");
	assert_int_equal(again.list.items[1].header.gso_size, 1448);
	assert_memory_equal(again.list.items[0].frame, w->packets.list.items[0].frame, 64);
	held_packets_release(&again);
	held_packets__free_unpacked(read, NULL);
	free(packed);
}

static void forged_ones_are_refused(void **state)
{
	uint8_t bytes[100] = { 0 };
	HeldPackets__Packet packet = HELD_PACKETS__PACKET__INIT, *list[] = { &packet };
	HeldPackets m = HELD_PACKETS__INIT;
	struct held_packets loaded;

	m.packets = list;
	m.n_packets = 1;
	for (int i = 0; i < 5; i++) {
		struct error err = ERROR_INIT;

		packet.interface = i == 1 ? "" : i == 2 ? "sixteenletters16" : "eth0";
		packet.header = (ProtobufCBinaryData){ i == 3 ? 12 : 10, bytes };
		packet.frame = (ProtobufCBinaryData){ i == 4 ? 13 : 60, bytes };
		assert_int_equal(held_packets_load(&m, &loaded, &err), i ? -1 : 0);
		assert_int_equal(err.kind, i ? ERROR_IMAGE : ERROR_NONE);
		error_clear(&err);
		if (!i)
			held_packets_release(&loaded);
	}
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(streams_go_on_at_once),
		CASE(streams_of_ipv6_go_on_at_once),
		CASE(without_it_they_wait),
		CASE(each_datagram_comes_once),
		CASE(tags_are_put_back),
		CASE(bridges_inside_have_theirs),
		CASE(memory_is_bounded),
		CASE(connections_wait_outside),
		CASE(connections_of_ipv6_wait_outside),
		CASE(strangers_stay_out),
		CASE(messages_keep_them),
		CASE(forged_ones_are_refused),
	};

	return cmocka_run_group_tests(tests, leave_the_machine, NULL);
}
