/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <libnet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "network/netns.h"

enum { FRAME_MAX = 128 };	/* the longest is an advertisement of 86 bytes */

struct frame {
	int ifindex;
	size_t size;
	uint8_t data[FRAME_MAX];
};

struct takeover {
	/* What builds frames, and its packet socket of that namespace, which sends them. To close
	 * such a socket takes the kernel milliseconds, so there is but this one. */
	libnet_t *builder;
	int fd;
	ARRAY_OF(struct frame) frames;
};

static const uint8_t everybody[ETHER_ADDR_LEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t all_nodes_mac[ETHER_ADDR_LEN] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

static void cleanup_ifaddrs_p(struct ifaddrs **list)
{
	if (*list)
		freeifaddrs(*list);
}

/* ---- building ---- */

/* Ends one frame: the checksums are filled in now. */
static int keep_frame(struct takeover *t, int ifindex, struct error *err)
{
	struct frame *frame = array_add(&t->frames);
	libnet_t *l = t->builder;
	uint8_t *data = NULL;
	uint32_t size = 0;

	if (!frame)
		return error_set(err, ERROR_FAILED, ENOMEM, "announcements");
	if (libnet_adv_cull_packet(l, &data, &size) < 0 || size > FRAME_MAX) {
		t->frames.count--;
		return error_set(err, ERROR_FAILED, 0, "an announcement: %s", libnet_geterror(l));
	}
	frame->ifindex = ifindex;
	frame->size = size;
	memcpy(frame->data, data, size);
	libnet_adv_free_packet(l, data);
	libnet_clear_packet(l);
	return 0;
}

static int add_arp(struct takeover *t, const struct sockaddr_ll *link, int operation,
		   const uint8_t *address, struct error *err)
{
	static const uint8_t nobody[ETHER_ADDR_LEN];
	libnet_t *l = t->builder;
	const uint8_t *target = operation == ARPOP_REQUEST ? nobody : link->sll_addr;

	if (libnet_build_arp(ARPHRD_ETHER, ETHERTYPE_IP, ETHER_ADDR_LEN, 4, operation,
			     link->sll_addr, address, target, address, NULL, 0, l, 0) < 0 ||
	    libnet_build_ethernet(everybody, link->sll_addr, ETHERTYPE_ARP, NULL, 0, l, 0) < 0)
		return error_set(err, ERROR_FAILED, 0, "an announcement: %s", libnet_geterror(l));
	return keep_frame(t, link->sll_ifindex, err);
}

/* A host that calls itself no router any more loses those who route through it. */
static bool is_router(const char *interface)
{
	_cleanup_fd_ int fd = -1;
	char path[64 + IF_NAMESIZE], value;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/forwarding", interface);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &value, 1) == 1 && value != '0';
}

static int add_advertisement(struct takeover *t, const struct sockaddr_ll *link,
			     const uint8_t *address, bool router, struct error *err)
{
	enum { SIZE = sizeof(struct nd_neighbor_advert) + 8 };
	/* It wants them in the order of the host, whatever its manual says. */
	uint32_t flags = ntohl(ND_NA_FLAG_OVERRIDE | (router ? ND_NA_FLAG_ROUTER : 0));
	libnet_t *l = t->builder;
	struct libnet_in6_addr own, all;
	uint8_t mac[ETHER_ADDR_LEN];

	memcpy(&own, address, sizeof(own));
	memcpy(&all, all_nodes, sizeof(all));
	memcpy(mac, link->sll_addr, sizeof(mac));
	if (libnet_build_icmpv6_ndp_opt(ND_OPT_TARGET_LINKADDR, mac, sizeof(mac), l, 0) < 0 ||
	    libnet_build_icmpv6_ndp_nadv(ND_NEIGHBOR_ADVERT, 0, 0, flags, own, NULL, 0, l, 0) < 0 ||
	    libnet_build_ipv6(0, 0, SIZE, IPPROTO_ICMPV6, 255, own, all, NULL, 0, l, 0) < 0 ||
	    libnet_build_ethernet(all_nodes_mac, mac, ETHERTYPE_IPV6, NULL, 0, l, 0) < 0)
		return error_set(err, ERROR_FAILED, 0, "an announcement: %s", libnet_geterror(l));
	return keep_frame(t, link->sll_ifindex, err);
}

/* ---- finding ---- */

/* Whether an address belongs to an interface; IPv4 may give it with a label ("eth0:1"). */
static bool is_of(const struct ifaddrs *address, const struct ifaddrs *link)
{
	size_t length = strcspn(address->ifa_name, ":");

	return strlen(link->ifa_name) == length &&
	       !memcmp(link->ifa_name, address->ifa_name, length);
}

static bool has_neighbours(const struct ifaddrs *i)
{
	const struct sockaddr_ll *link = (const struct sockaddr_ll *)i->ifa_addr;

	return link && link->sll_family == AF_PACKET && (i->ifa_flags & IFF_UP) &&
	       !(i->ifa_flags & (IFF_LOOPBACK | IFF_NOARP)) &&
	       link->sll_hatype == ARPHRD_ETHER && link->sll_halen == ETHER_ADDR_LEN;
}

static int add_address(struct takeover *t, const struct sockaddr_ll *link,
		       const struct ifaddrs *i, struct error *err)
{
	const uint8_t *v4 = (void *)&((const struct sockaddr_in *)i->ifa_addr)->sin_addr;
	const uint8_t *v6 = (void *)&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;

	if (i->ifa_addr->sa_family == AF_INET6)
		return add_advertisement(t, link, v6, is_router(i->ifa_name), err);
	if (i->ifa_addr->sa_family != AF_INET)
		return 0;
	return add_arp(t, link, ARPOP_REQUEST, v4, err) ||
			       add_arp(t, link, ARPOP_REPLY, v4, err) ?
		       -1 :
		       0;
}

/* It takes the name of an interface, but builds for all. */
static int open_builder(struct takeover *t, const char *interface, struct error *err)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &nothing };
	char reason[LIBNET_ERRBUF_SIZE] = "";

	t->builder = libnet_init(LIBNET_LINK_ADV, interface, reason);
	if (!t->builder)
		return error_set(err, ERROR_FAILED, 0, "%s: announcements: %s", interface, reason);
	t->fd = libnet_getfd(t->builder);
	/* It would hear all there is. */
	if (setsockopt(t->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    fcntl(t->fd, F_SETFD, FD_CLOEXEC))
		return error_set(err, ERROR_FAILED, errno, "%s: announcements", interface);
	return 0;
}

static int build(struct takeover *t, struct error *err)
{
	__attribute__((cleanup(cleanup_ifaddrs_p))) struct ifaddrs *all = NULL;

	if (getifaddrs(&all))
		return error_set(err, ERROR_FAILED, errno, "cannot list addresses");
	for (const struct ifaddrs *link = all; link; link = link->ifa_next) {
		if (!has_neighbours(link))
			continue;
		if (!t->builder && open_builder(t, link->ifa_name, err))
			return -1;
		for (const struct ifaddrs *i = all; i; i = i->ifa_next)
			if (i->ifa_addr && is_of(i, link) &&
			    add_address(t, (const struct sockaddr_ll *)link->ifa_addr, i, err))
				return -1;
	}
	return 0;
}

int takeover_prepare(struct takeover **ret, int netns, struct error *err)
{
	_cleanup_takeover_ struct takeover *t = calloc(1, sizeof(*t));
	int back, failed;

	if (!t)
		return error_set(err, ERROR_FAILED, ENOMEM, "announcements");
	t->fd = -1;
	if (netns_enter(netns, &back, err))
		return -1;
	failed = build(t, err);
	if (netns_leave(&back, err) || failed)
		return -1;
	*ret = steal_ptr(t);
	return 0;
}

/* ---- sending ---- */

size_t takeover_count(const struct takeover *t)
{
	return t->frames.count;
}

size_t takeover_announce(const struct takeover *t)
{
	size_t sent = 0;
	struct frame *frame;

	array_for(frame, &t->frames) {
		struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = frame->ifindex,
					  .sll_halen = ETHER_ADDR_LEN };

		memcpy(&to.sll_protocol, frame->data + 2 * ETHER_ADDR_LEN, 2);
		memcpy(to.sll_addr, frame->data, ETHER_ADDR_LEN);
		if (sendto(t->fd, frame->data, frame->size, MSG_DONTWAIT, (struct sockaddr *)&to,
			   sizeof(to)) == (ssize_t)frame->size)
			sent++;
		else
			log_info("interface %d: an address could not be announced: %s",
				 frame->ifindex, strerror(errno));
	}
	return sent;
}

static void repeat(const struct takeover *t, int owner)
{
	static const int pauses_ms[] = { 30, 120, 350, 500 };
	struct pollfd ended = { .fd = owner, .events = POLLIN };

	for (size_t i = 0; i < ARRAY_SIZE(pauses_ms) && !poll(&ended, 1, pauses_ms[i]); i++)
		takeover_announce(t);
}

static void close_all_but(int one, int other)
{
	int low = other < 0 || one < other ? one : other, high = one > other ? one : other;

	if (low > 0)
		close_range(0, low - 1, 0);
	if (high - low > 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

int takeover_repeat(const struct takeover *t, int owner, pid_t *ret, struct error *err)
{
	pid_t pid;

	*ret = 0;
	if (!t->frames.count)
		return 0;
	pid = fork();
	if (pid < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot fork");
	if (!pid) {
		log_set_level(LOG_QUIET);
		setsid();
		close_all_but(t->fd, owner);
		if (!chdir("/"))
			repeat(t, owner);
		_exit(0);
	}
	*ret = pid;
	return 0;
}

void takeover_free(struct takeover *t)
{
	if (!t)
		return;
	if (t->builder)
		libnet_destroy(t->builder);
	array_release(&t->frames);
	free(t);
}
