/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/replay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "network/frame.h"
#include "network/links.h"
#include "network/netns.h"

enum {
	TRIES = 50,	/* that a full device gets, with a pause of … */
	PAUSE_NS = 200000,
	AT_ONCE = 4,	/* before we look how they are taken */
	FULL_BYTES = 64 << 10,	/* of a socket that has room for some 200 KiB, unless it was told */
	FULL_CONNECTIONS = 1,	/* that have not been accepted */
	PACE_NS = 300 * 1000 * 1000,
	NEIGHBOUR_FIRST = 133, NEIGHBOUR_LAST = 137,	/* types of ICMPv6, RFC 4861 */
};

struct replayer {
	struct links here, there;
	struct ifaddrs *addresses;
	int fd;			/* packet socket there */
};

/* ---- which packets ---- */

/* A fragment may be of one. */
static bool is_for_program(const struct frame_look *look)
{
	return look->fragment || look->protocol == IPPROTO_UDP ||
	       look->protocol == IPPROTO_UDPLITE || frame_begins_connection(look);
}

static bool is_ours(const struct replayer *r, int family, const void *address)
{
	for (const struct ifaddrs *i = r->addresses; i; i = i->ifa_next) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)i->ifa_addr;
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)i->ifa_addr;

		if (!i->ifa_addr || i->ifa_addr->sa_family != family)
			continue;
		if (family == AF_INET ? !memcmp(&v4->sin_addr, address, sizeof(v4->sin_addr)) :
					!memcmp(&v6->sin6_addr, address, sizeof(v6->sin6_addr)))
			return true;
	}
	return false;
}

static bool is_held_kind(int protocol, const uint8_t *payload, size_t size)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return true;
	case IPPROTO_ICMPV6:
		return size && (*payload < NEIGHBOUR_FIRST || *payload > NEIGHBOUR_LAST);
	}
	return false;
}

static bool is_for_us(const struct replayer *r, const struct frame_look *look)
{
	if (!is_ours(r, look->family, look->destination))
		return false;
	if (look->family == AF_INET)
		return look->protocol == IPPROTO_ICMP ||
		       is_held_kind(look->protocol, NULL, 0);
	return look->fragment || is_held_kind(look->protocol, look->payload, look->size);
}

/* ---- the way ---- */

/* The other end of a veth interface: each names the other. 0: there is none. */
static int other_end(const struct replayer *r, const char *interface)
{
	const struct link *here = links_named(&r->here, interface);
	const struct link *there = here ? links_numbered(&r->there, here->lower) : NULL;

	if (!there || strcmp(here->kind, "veth") || strcmp(there->kind, "veth") ||
	    there->lower != here->ifindex)
		return 0;
	return there->ifindex;
}

static int look_around(struct replayer *r, int other_ends, struct error *err)
{
	int back, one = 1, failed;

	if (links_read(&r->here, err))
		return -1;
	if (getifaddrs(&r->addresses))
		return error_set(err, ERROR_FAILED, errno, "cannot list addresses");
	r->fd = netns_socket(other_ends, AF_PACKET, SOCK_RAW, 0, err);
	if (r->fd < 0 || netns_enter(other_ends, &back, err))
		return -1;
	failed = links_read(&r->there, err);
	if (netns_leave(&back, err) || failed)
		return -1;
	if (setsockopt(r->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		return error_set(err, ERROR_FAILED, errno, "cannot replay packets");
	/* Traffic shaping there has seen them once. */
	setsockopt(r->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	return 0;
}

int replayer_open(struct replayer **ret, int other_ends, struct error *err)
{
	struct replayer *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	r->fd = -1;
	if (look_around(r, other_ends, err)) {
		replayer_free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

/* A full queue of the receiver is given time to empty. */
static int send_frame(const struct replayer *r, const struct held_packet *packet, int ifindex)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = ifindex,
				  .sll_halen = ETH_ALEN };
	struct iovec parts[] = { { (void *)&packet->header, sizeof(packet->header) },
				 { packet->frame, packet->size } };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts,
			    .msg_iovlen = 2 };
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	memcpy(&to.sll_protocol, packet->frame + FRAME_TAG_AT, sizeof(to.sll_protocol));
	memcpy(to.sll_addr, packet->frame, ETH_ALEN);
	for (int i = 0; i < TRIES; i++) {
		if (sendmsg(r->fd, &m, MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != ENOBUFS && errno != EAGAIN)
			return -1;
		nanosleep(&pause, NULL);
	}
	return -1;
}

/* ---- the pace ---- */

struct pace {
	size_t count;
	uint64_t until;	/* then nobody is waited for any more */
};

/* How much waits to be taken in the socket that has most of it: bytes, or, of those that listen,
 * connections. Listeners come first in the files of TCP. */
static size_t fullest(const char *path, unsigned int state)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	size_t ret = 0, waits;
	unsigned int is;
	char line[512];

	if (!file || !fgets(line, sizeof(line), file))
		return 0;
	while (fgets(line, sizeof(line), file) &&
	       sscanf(line, "%*s %*s %*s %x %*x:%zx", &is, &waits) == 2 && (!state || is == state))
		if (waits > ret)
			ret = waits;
	return ret;
}

static bool is_full(void)
{
	return fullest("/proc/self/net/udp", 0) > FULL_BYTES ||
	       fullest("/proc/self/net/udp6", 0) > FULL_BYTES ||
	       fullest("/proc/self/net/tcp", TCP_LISTEN) > FULL_CONNECTIONS ||
	       fullest("/proc/self/net/tcp6", TCP_LISTEN) > FULL_CONNECTIONS;
}

/* They come all at once, so that a program that is fast enough may not be so now. */
static void keep_pace(struct pace *pace)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (++pace->count % AT_ONCE)
		return;
	while (now_ns() < pace->until && (nanosleep(&pause, NULL) || is_full()))
		;
}

void replayer_play(struct replayer *r, const struct held_packets *packets,
		   enum replay_which which, struct replay_report *ret)
{
	const struct held_packet *packet;
	struct pace pace = { .until = now_ns() + PACE_NS };

	*ret = (struct replay_report){ 0 };
	array_for(packet, &packets->list) {
		int ifindex = other_end(r, packet->interface);
		struct frame_look look;
		bool known = frame_read(packet->frame, packet->size, &look);

		if ((known && is_for_program(&look)) != (which == REPLAY_FOR_PROGRAM))
			continue;
		if (which == REPLAY_FOR_PROGRAM)
			keep_pace(&pace);
		if (!known || !is_for_us(r, &look)) {
			ret->foreign++;
		} else if (!ifindex) {
			ret->no_way++;
		} else if (send_frame(r, packet, ifindex)) {
			log_debug("%s: a packet that was held is lost: %s", packet->interface,
				  strerror(errno));
			ret->refused++;
		} else {
			ret->arrived++;
		}
	}
}

void replayer_free(struct replayer *r)
{
	if (!r)
		return;
	links_release(&r->here);
	links_release(&r->there);
	if (r->addresses)
		freeifaddrs(r->addresses);
	fd_close(&r->fd);
	free(r);
}
