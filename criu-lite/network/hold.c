/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/hold.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "network/frame.h"
#include "network/links.h"

enum {
	FRAME_MAX = (1 << 19) + 256, /* IPv6 has them beyond 64 KiB, and then there are headers */
	FORGET_MAX = 1 << 16, /* arrivals that are looked through at most: they may never end */
	BESIDES = 64,	/* what a packet takes in an image besides its bytes, at most */
	NEIGHBOUR_FIRST = 133,
	NEIGHBOUR_LAST = 137, /* types of ICMPv6, RFC 4861 */
};

struct entrance {
	int fd;
	char interface[IF_NAMESIZE];
};

struct hold {
	ARRAY_OF(struct entrance) entrances;
	uint8_t *room;		/* of FRAME_MAX */
};

/* ---- beginning ---- */

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + (name))
#define HEADER_BYTE(at) BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_NET_OFF + (at))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)

/* What the header promises. The port of a bridge takes in what is for the bridge. */
static int set_filter(int fd, bool is_port)
{
	const uint32_t or_else = is_port ? PACKET_OTHERHOST : PACKET_HOST;
	struct sock_filter lines[] = {
		FIELD(SKF_AD_PKTTYPE),
		IF_EQUAL(PACKET_HOST, 1, 0),
		IF_EQUAL(or_else, 0, 17),
		FIELD(SKF_AD_PROTOCOL),
		IF_EQUAL(ETH_P_IPV6, 6, 0),
		IF_EQUAL(ETH_P_IP, 0, 14),
		HEADER_BYTE(9),
		IF_EQUAL(IPPROTO_TCP, 13, 0),
		IF_EQUAL(IPPROTO_UDP, 12, 0),
		IF_EQUAL(IPPROTO_UDPLITE, 11, 0),
		IF_EQUAL(IPPROTO_ICMP, 10, 9),
		HEADER_BYTE(6),
		IF_EQUAL(IPPROTO_TCP, 8, 0),
		IF_EQUAL(IPPROTO_UDP, 7, 0),
		IF_EQUAL(IPPROTO_UDPLITE, 6, 0),
		IF_EQUAL(IPPROTO_FRAGMENT, 5, 0),
		IF_EQUAL(IPPROTO_ICMPV6, 0, 3),
		HEADER_BYTE(40),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NEIGHBOUR_FIRST, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEIGHBOUR_LAST, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, ~0u),
	};
	struct sock_fprog program = { ARRAY_SIZE(lines), lines };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int listen_at(struct entrance *e, const struct link *link, struct error *err)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = link->ifindex };
	int one = 1, size = HOLD_MEMORY_MAX / 2;

	memcpy(e->interface, link->name, sizeof(e->interface));
	/* Deaf until it has its filter. */
	e->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a packet socket");
	/* The filter turns outgoing frames away, too; before Linux 4.20 it is alone with that. */
	setsockopt(e->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	if (setsockopt(e->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    set_filter(e->fd, link->master > 0) ||
	    bind(e->fd, (struct sockaddr *)&name, sizeof(name)))
		return error_set(err, ERROR_FAILED, errno, "cannot hold the packets of %s",
				 link->name);
	return 0;
}

int hold_start(struct hold **ret, struct error *err)
{
	_cleanup_links_ struct links links = { 0 };
	struct hold *h = calloc(1, sizeof(*h));
	const struct link *link;

	if (!h || !(h->room = malloc(FRAME_MAX))) {
		free(h);
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	}
	if (links_read(&links, err)) {
		hold_end(h);
		return -1;
	}
	array_for(link, &links.list) {
		struct entrance *e = link_is_entrance(link) ? array_add(&h->entrances) : NULL;

		if (!link_is_entrance(link))
			continue;
		if (!e || listen_at(e, link, err)) {
			hold_end(h);
			return error_set(err, ERROR_FAILED, ENOMEM, "packets");
		}
	}
	*ret = h;
	return 0;
}

void hold_from_now(struct hold *h)
{
	struct tpacket_stats ignored;
	struct entrance *e;

	array_for(e, &h->entrances) {
		struct virtio_net_hdr header;
		socklen_t size = sizeof(ignored);

		for (int i = 0; i < FORGET_MAX; i++)
			if (recv(e->fd, &header, sizeof(header), MSG_TRUNC) < 0 && errno == EAGAIN)
				break;
		getsockopt(e->fd, SOL_PACKET, PACKET_STATISTICS, &ignored, &size);
	}
}

/* ---- taking ---- */

/* The kernel keeps a VLAN tag beside the frame: puts it where it was on the wire. */
static void put_tag(struct held_packet *p, const struct tpacket_auxdata *beside)
{
	uint16_t type = beside->tp_status & TP_STATUS_VLAN_TPID_VALID ? beside->tp_vlan_tpid :
								  ETH_P_8021Q;
	uint16_t tag[2] = { htons(type), htons(beside->tp_vlan_tci) };
	uint8_t *at = p->frame + FRAME_TAG_AT;

	memmove(at + FRAME_TAG_SIZE, at, p->size - FRAME_TAG_AT);
	memcpy(at, tag, FRAME_TAG_SIZE);
	p->size += FRAME_TAG_SIZE;
	if (p->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		p->header.csum_start += FRAME_TAG_SIZE;
	if (p->header.hdr_len)
		p->header.hdr_len += FRAME_TAG_SIZE;
}

static int keep(struct held_packets *ret, const struct entrance *e, const uint8_t *frame,
		size_t size, const struct virtio_net_hdr *header,
		const struct tpacket_auxdata *beside, struct error *err)
{
	_cleanup_free_ uint8_t *copy = malloc(size + FRAME_TAG_SIZE);
	struct held_packet *p = copy ? array_add(&ret->list) : NULL;

	if (!p)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	memcpy(p->interface, e->interface, sizeof(p->interface));
	memcpy(copy, frame, size);
	p->frame = steal_ptr(copy);
	p->size = size;
	p->header = *header;
	if (beside && (beside->tp_status & TP_STATUS_VLAN_VALID))
		put_tag(p, beside);
	ret->bytes += p->size;
	return 0;
}

/* In an image. */
static size_t bytes_of(const struct held_packets *p)
{
	return p->bytes + p->list.count * BESIDES;
}

static bool is_beginning(const uint8_t *frame, size_t size)
{
	struct frame_look look;

	return frame_read(frame, size, &look) && frame_begins_connection(&look);
}

/* Takes one, and keeps it, or only if it begins a connection. Returns 1, 0 when there is none,
 * or -1. */
static int take_one(struct hold *h, const struct entrance *e, bool only_beginnings,
		    struct held_packets *ret, struct error *err)
{
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))] __attribute__((aligned(8)));
	struct virtio_net_hdr header;
	struct iovec parts[] = { { &header, sizeof(header) }, { h->room, FRAME_MAX } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	const struct tpacket_auxdata *beside = NULL;
	ssize_t n = recvmsg(e->fd, &m, MSG_TRUNC);

	if (n < 0 && errno == EAGAIN)
		return 0;
	/* The link went down, or this one cannot be given out: it is gone from the queue. */
	if (n < (ssize_t)(sizeof(header) + ETH_HLEN) || (m.msg_flags & MSG_TRUNC)) {
		ret->dropped += !only_beginnings;
		return 1;
	}
	if (only_beginnings && !is_beginning(h->room, n - sizeof(header)))
		return 1;
	if (only_beginnings && bytes_of(ret) > HOLD_BEGINNINGS_MAX) {
		ret->dropped++;
		return 1;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			beside = (const struct tpacket_auxdata *)CMSG_DATA(c);
	return keep(ret, e, h->room, n - sizeof(header), &header, beside, err) ? -1 : 1;
}

int hold_take(struct hold *h, struct held_packets *ret, struct error *err)
{
	size_t limit = bytes_of(ret) + HOLD_BYTES_MAX;
	struct entrance *e;

	array_for(e, &h->entrances) {
		struct tpacket_stats stats = { 0 };
		socklen_t size = sizeof(stats);
		int taken = 1;

		while (taken && bytes_of(ret) + FRAME_MAX < limit) {
			taken = take_one(h, e, false, ret, err);
			if (taken < 0)
				return -1;
		}
		if (!getsockopt(e->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
			ret->dropped += stats.tp_drops;
	}
	return 0;
}

int hold_take_beginnings(struct hold *h, struct held_packets *ret, struct error *err)
{
	struct entrance *e;

	array_for(e, &h->entrances) {
		int taken = 1;

		for (int i = 0; taken && i < FORGET_MAX; i++) {
			taken = take_one(h, e, true, ret, err);
			if (taken < 0)
				return -1;
		}
	}
	return 0;
}

void held_packets_release(struct held_packets *p)
{
	struct held_packet *packet;

	array_for(packet, &p->list)
		free(packet->frame);
	array_release(&p->list);
}

void hold_end(struct hold *h)
{
	struct entrance *e;

	if (!h)
		return;
	array_for(e, &h->entrances)
		fd_close(&e->fd);
	array_release(&h->entrances);
	free(h->room);
	free(h);
}
