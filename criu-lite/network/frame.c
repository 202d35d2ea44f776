/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
	TAGS_MAX = 3,
	FLAGS_AT = 13,	/* in the header of TCP */
	OFFSET_AND_MORE = 0x3fff,
};

static bool read_v4(const uint8_t *at, const uint8_t *end, struct frame_look *ret)
{
	struct iphdr header;
	size_t size;

	if (end - at < (ptrdiff_t)sizeof(header))
		return false;
	memcpy(&header, at, sizeof(header));
	size = header.ihl * 4;
	if (size < sizeof(header) || end - at < (ptrdiff_t)size)
		return false;
	*ret = (struct frame_look){
		.family = AF_INET,
		.protocol = header.protocol,
		.fragment = ntohs(header.frag_off) & OFFSET_AND_MORE,
		.destination = at + offsetof(struct iphdr, daddr),
		.payload = at + size,
		.size = end - at - size,
	};
	return true;
}

static bool read_v6(const uint8_t *at, const uint8_t *end, struct frame_look *ret)
{
	struct ip6_hdr header;

	if (end - at < (ptrdiff_t)sizeof(header))
		return false;
	memcpy(&header, at, sizeof(header));
	*ret = (struct frame_look){
		.family = AF_INET6,
		.protocol = header.ip6_nxt,
		.fragment = header.ip6_nxt == IPPROTO_FRAGMENT,
		.destination = at + offsetof(struct ip6_hdr, ip6_dst),
		.payload = at + sizeof(header),
		.size = end - at - sizeof(header),
	};
	return true;
}

bool frame_read(const uint8_t *frame, size_t size, struct frame_look *ret)
{
	const uint8_t *at = frame + FRAME_TAG_AT, *end = frame + size;
	uint16_t type = 0;

	if (size < ETH_HLEN)
		return false;
	for (int tags = 0; tags < TAGS_MAX && end - at >= (ptrdiff_t)sizeof(type);
	     tags++, at += FRAME_TAG_SIZE) {
		memcpy(&type, at, sizeof(type));
		type = ntohs(type);
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
	}
	at += sizeof(type);
	if (at > end)
		return false;
	if (type == ETH_P_IP)
		return read_v4(at, end, ret);
	return type == ETH_P_IPV6 && read_v6(at, end, ret);
}

bool frame_begins_connection(const struct frame_look *look)
{
	return look->protocol == IPPROTO_TCP && !look->fragment && look->size > FLAGS_AT &&
	       (look->payload[FLAGS_AT] & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) == TH_SYN;
}
