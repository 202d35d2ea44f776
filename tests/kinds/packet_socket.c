/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packet sockets go on hearing what they heard: protocol, interface, filter, groups, rings. */
/* test: own=network */
#include "sockets.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>

enum {
	OURS = 0x88b5,	/* for experiments */
	GROUP_ADDRESS = 0xbeef,
	FRAMES = 16,
	BLOCK = 1 << 16, BLOCKS = 4,
};

static int raw, datagrams, sender, fan[2], ring, deaf, joined;

/* Tests run side by side: only frames of this process pass. */
static void set_filter(int fd, int offset)
{
	struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, getpid(), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, ~0u),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { 4, lines };

	test_must(!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

static int hearing(int type, int protocol, unsigned int interface)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				 .sll_ifindex = interface };
	int fd = socket(AF_PACKET, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		test_skip("no packet sockets here");
	set_filter(fd, type == SOCK_RAW ? 14 : 0);
	test_must(!bind(fd, (void *)&a, sizeof(a)));
	return fd;
}

static void say(uint32_t word)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(OURS),
				  .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6 };
	uint32_t frame[16] = { htonl(getpid()), word };

	test_must(sendto(sender, frame, sizeof(frame), 0, (void *)&to, sizeof(to)) ==
		  sizeof(frame));
}

/* How many frames it has, all with this word behind the process's number. */
static int heard(int fd, int offset, uint32_t word)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	uint8_t frame[256];
	uint32_t got;
	int count = 0;

	poll(&poller, 1, 500);
	while (recv(fd, frame, sizeof(frame), 0) > 0) {
		memcpy(&got, frame + offset + 4, sizeof(got));
		test_check(got == word, "heard %u, not %u", got, word);
		count++;
	}
	return count;
}

static void check_all(uint32_t word)
{
	int count[2];
	char byte;

	for (int i = 0; i < FRAMES; i++)
		say(word);
	/* Who hears all protocols hears a frame on lo on its way out and in, unless it ignores the
	 * way out. */
	test_check(heard(raw, 14, word) == FRAMES, "the raw one");
	test_check(heard(datagrams, 0, word) == 2 * FRAMES, "the one for datagrams");
	test_check(recv(deaf, &byte, 1, 0) < 0 && errno == EAGAIN, "the deaf one hears");
	/* Frames of others have their turns in the fan, too. */
	for (int i = 0; i < 2; i++)
		count[i] = heard(fan[i], 0, word);
	test_check(count[0] && count[1] && count[0] + count[1] == FRAMES, "the fan has %d and %d",
		   count[0], count[1]);
}

static bool is_member(void)
{
	char line[256], wanted[64];
	bool found = false;
	FILE *file = fopen("/proc/net/dev_mcast", "re");

	snprintf(wanted, sizeof(wanted), "0300%04x%04x", GROUP_ADDRESS, getpid() & 0xffff);
	test_must(file);
	while (fgets(line, sizeof(line), file))
		found |= strstr(line, " lo ") && strstr(line, wanted);
	fclose(file);
	return found;
}

static void join(void)
{
	struct packet_mreq m = { .mr_ifindex = if_nametoindex("lo"), .mr_alen = 6,
				 .mr_type = PACKET_MR_MULTICAST,
				 .mr_address = { 3, 0, GROUP_ADDRESS >> 8, GROUP_ADDRESS & 0xff,
						 getpid() >> 8, getpid() } };

	joined = socket(AF_PACKET, SOCK_DGRAM, 0);
	/* Twice is to be left twice. */
	test_must(!setsockopt(joined, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof(m)));
	test_must(!setsockopt(joined, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof(m)));
	test_check(is_member(), "no member");
}

static void leave(void)
{
	struct packet_mreq m = { .mr_ifindex = if_nametoindex("lo"), .mr_alen = 6,
				 .mr_type = PACKET_MR_MULTICAST,
				 .mr_address = { 3, 0, GROUP_ADDRESS >> 8, GROUP_ADDRESS & 0xff,
						 getpid() >> 8, getpid() } };

	test_check(is_member(), "the membership is lost");
	test_must(!setsockopt(joined, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof(m)));
	test_check(is_member(), "it was joined only once");
	test_must(!setsockopt(joined, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof(m)));
	test_check(!is_member(), "it was joined more than twice");
}

static void make_ring(void)
{
	struct tpacket_req3 request = {
		.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = 2048,
		.tp_frame_nr = BLOCK / 2048 * BLOCKS, .tp_retire_blk_tov = 50,
	};

	ring = socket(AF_PACKET, SOCK_RAW, 0);
	set_option(ring, SOL_PACKET, PACKET_VERSION, TPACKET_V3);
	set_option(ring, SOL_PACKET, PACKET_RESERVE, 64);
	test_must(!setsockopt(ring, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)));
}

static void check_ring(void)
{
	void *map = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	void *more = mmap(NULL, BLOCK * (BLOCKS + 1), PROT_READ, MAP_SHARED, ring, 0);

	test_check(map != MAP_FAILED && more == MAP_FAILED, "the ring is lost");
	munmap(map, BLOCK * BLOCKS);
	test_check(get_option(ring, SOL_PACKET, PACKET_VERSION) == TPACKET_V3, "version");
	test_check(get_option(ring, SOL_PACKET, PACKET_RESERVE) == 64, "PACKET_RESERVE");
}

int main(int argc, char **argv)
{
	struct sockaddr_ll a = { 0 };
	socklen_t size = sizeof(a);
	int group;

	test_init(argc, argv);
	raw = hearing(SOCK_RAW, ETH_P_ALL, if_nametoindex("lo"));
	set_option(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	set_option(raw, SOL_PACKET, PACKET_AUXDATA, 1);
	set_option(raw, SOL_PACKET, PACKET_ORIGDEV, 1);
	datagrams = hearing(SOCK_DGRAM, ETH_P_ALL, 0);
	deaf = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	group = (getpid() & 0xffff) | PACKET_FANOUT_LB << 16 | PACKET_FANOUT_FLAG_DEFRAG << 16;
	for (int i = 0; i < 2; i++) {
		fan[i] = hearing(SOCK_DGRAM, OURS, if_nametoindex("lo"));
		set_option(fan[i], SOL_PACKET, PACKET_FANOUT, group);
	}
	join();
	make_ring();
	check_all(1);

	test_checkpoint_here();

	check_all(2);
	test_must(!getsockname(raw, (void *)&a, &size));
	test_check(a.sll_ifindex == (int)if_nametoindex("lo") && a.sll_protocol == htons(ETH_P_ALL),
		   "it is bound to %d, %#x", a.sll_ifindex, ntohs(a.sll_protocol));
	test_check(get_option(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING) == 1 &&
			   get_option(raw, SOL_PACKET, PACKET_AUXDATA) == 1 &&
			   get_option(raw, SOL_PACKET, PACKET_ORIGDEV) == 1,
		   "options");
	test_check(get_option(datagrams, SOL_PACKET, PACKET_AUXDATA) == 0, "PACKET_AUXDATA came");
	test_check(get_option(fan[1], SOL_PACKET, PACKET_FANOUT) == group, "group %#x",
		   get_option(fan[1], SOL_PACKET, PACKET_FANOUT));
	leave();
	check_ring();
	test_pass();
}
