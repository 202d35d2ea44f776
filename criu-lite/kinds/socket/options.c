/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/icmp.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kinds/socket/socket.h"

/* Names that older headers lack; values are those of all architectures with the generic layout. */
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef IP_RECVERR_RFC4884
#define IP_RECVERR_RFC4884 26
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IPV6_RECVERR_RFC4884
#define IPV6_RECVERR_RFC4884 31
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef UDPLITE_SEND_CSCOV
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#endif
#ifndef SOL_UDPLITE
#define SOL_UDPLITE 136
#endif

enum option_flag {
	EARLY = 1,		/* decides how a name is bound or a connection made */
	HALVED = 2,		/* reads as twice what is set */
	TEXT = 4,		/* a string */
	WITH_LENGTH = 8,	/* the size of the value is part of it */
	DATAGRAMS = 16,		/* means nothing to a stream */
};

struct socket_option {
	int level, name;
	const char *text;
	uint8_t size;		/* largest value */
	uint8_t flags;
	int force;		/* the option to set instead, as root; 0: the same */
};

#define ROW(level, name, size, ...) { level, name, #name, size, __VA_ARGS__ }
#define SWITCH(level, name) { level, name, #name, sizeof(int), 0, 0 }
#define MULTICAST(level, name) { level, name, #name, sizeof(int), DATAGRAMS, 0 }

/* In the order in which they are set. Whether a socket has an option the kernel says. */
static const struct socket_option options[] = {
	ROW(SOL_SOCKET, SO_REUSEADDR, 4, EARLY, 0),
	ROW(SOL_SOCKET, SO_REUSEPORT, 4, EARLY, 0),
	ROW(SOL_SOCKET, SO_BINDTODEVICE, 16, EARLY | TEXT, 0),
	ROW(SOL_SOCKET, SO_MARK, 4, EARLY, 0),
	ROW(SOL_IP, IP_FREEBIND, 4, EARLY, 0),
	ROW(SOL_IP, IP_TRANSPARENT, 4, EARLY, 0),
	ROW(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 4, EARLY, 0),
	ROW(SOL_IP, IP_LOCAL_PORT_RANGE, 4, EARLY, 0),
	ROW(SOL_IPV6, IPV6_V6ONLY, 4, EARLY, 0),
	ROW(SOL_IPV6, IPV6_FREEBIND, 4, EARLY, 0),
	ROW(SOL_IPV6, IPV6_TRANSPARENT, 4, EARLY, 0),

	ROW(SOL_SOCKET, SO_SNDBUF, 4, HALVED, SO_SNDBUFFORCE),
	ROW(SOL_SOCKET, SO_RCVBUF, 4, HALVED, SO_RCVBUFFORCE),
	SWITCH(SOL_SOCKET, SO_BUF_LOCK),
	SWITCH(SOL_SOCKET, SO_KEEPALIVE),
	SWITCH(SOL_SOCKET, SO_OOBINLINE),
	SWITCH(SOL_SOCKET, SO_BROADCAST),
	SWITCH(SOL_SOCKET, SO_DONTROUTE),
	SWITCH(SOL_SOCKET, SO_NO_CHECK),
	ROW(SOL_SOCKET, SO_LINGER, 8, 0, 0),
	SWITCH(SOL_SOCKET, SO_PASSCRED),
	SWITCH(SOL_SOCKET, SO_PASSSEC),
	SWITCH(SOL_SOCKET, SO_PASSPIDFD),
	SWITCH(SOL_SOCKET, SO_PASSRIGHTS),
	SWITCH(SOL_SOCKET, SO_RCVLOWAT),
	ROW(SOL_SOCKET, SO_RCVTIMEO, 16, 0, 0),
	ROW(SOL_SOCKET, SO_SNDTIMEO, 16, 0, 0),
	SWITCH(SOL_SOCKET, SO_TIMESTAMP),
	SWITCH(SOL_SOCKET, SO_TIMESTAMPNS),
	SWITCH(SOL_SOCKET, SO_TIMESTAMP_NEW),
	SWITCH(SOL_SOCKET, SO_TIMESTAMPNS_NEW),
	ROW(SOL_SOCKET, SO_TIMESTAMPING, 8, 0, 0),
	SWITCH(SOL_SOCKET, SO_RCVMARK),
	SWITCH(SOL_SOCKET, SO_RCVPRIORITY),
	SWITCH(SOL_SOCKET, SO_RXQ_OVFL),
	SWITCH(SOL_SOCKET, SO_WIFI_STATUS),
	SWITCH(SOL_SOCKET, SO_NOFCS),
	SWITCH(SOL_SOCKET, SO_SELECT_ERR_QUEUE),
	SWITCH(SOL_SOCKET, SO_BUSY_POLL),
	SWITCH(SOL_SOCKET, SO_PREFER_BUSY_POLL),
	ROW(SOL_SOCKET, SO_MAX_PACING_RATE, 8, 0, 0),
	SWITCH(SOL_SOCKET, SO_ZEROCOPY),
	ROW(SOL_SOCKET, SO_TXTIME, 8, 0, 0),
	SWITCH(SOL_SOCKET, SO_RESERVE_MEM),
	SWITCH(SOL_SOCKET, SO_TXREHASH),

	SWITCH(SOL_IP, IP_TOS),
	SWITCH(SOL_IP, IP_TTL),
	SWITCH(SOL_IP, IP_HDRINCL),
	ROW(SOL_IP, IP_OPTIONS, 40, WITH_LENGTH, 0),
	SWITCH(SOL_IP, IP_RECVOPTS),
	SWITCH(SOL_IP, IP_RETOPTS),
	SWITCH(SOL_IP, IP_PKTINFO),
	SWITCH(SOL_IP, IP_MTU_DISCOVER),
	SWITCH(SOL_IP, IP_RECVERR),
	SWITCH(SOL_IP, IP_RECVERR_RFC4884),
	SWITCH(SOL_IP, IP_RECVTTL),
	SWITCH(SOL_IP, IP_RECVTOS),
	SWITCH(SOL_IP, IP_PASSSEC),
	SWITCH(SOL_IP, IP_RECVORIGDSTADDR),
	SWITCH(SOL_IP, IP_MINTTL),
	SWITCH(SOL_IP, IP_NODEFRAG),
	SWITCH(SOL_IP, IP_CHECKSUM),
	SWITCH(SOL_IP, IP_RECVFRAGSIZE),
	MULTICAST(SOL_IP, IP_MULTICAST_TTL),
	MULTICAST(SOL_IP, IP_MULTICAST_LOOP),
	MULTICAST(SOL_IP, IP_MULTICAST_ALL),
	SWITCH(SOL_IP, IP_UNICAST_IF),

	SWITCH(SOL_IPV6, IPV6_UNICAST_HOPS),
	MULTICAST(SOL_IPV6, IPV6_MULTICAST_IF),
	MULTICAST(SOL_IPV6, IPV6_MULTICAST_HOPS),
	MULTICAST(SOL_IPV6, IPV6_MULTICAST_LOOP),
	MULTICAST(SOL_IPV6, IPV6_MULTICAST_ALL),
	SWITCH(SOL_IPV6, IPV6_UNICAST_IF),
	SWITCH(SOL_IPV6, IPV6_MTU_DISCOVER),
	SWITCH(SOL_IPV6, IPV6_RECVERR),
	SWITCH(SOL_IPV6, IPV6_RECVERR_RFC4884),
	SWITCH(SOL_IPV6, IPV6_RECVPKTINFO),
	SWITCH(SOL_IPV6, IPV6_RECVHOPLIMIT),
	SWITCH(SOL_IPV6, IPV6_RECVRTHDR),
	SWITCH(SOL_IPV6, IPV6_RECVHOPOPTS),
	SWITCH(SOL_IPV6, IPV6_RECVDSTOPTS),
	SWITCH(SOL_IPV6, IPV6_RECVTCLASS),
	SWITCH(SOL_IPV6, IPV6_RECVPATHMTU),
	SWITCH(SOL_IPV6, IPV6_RECVORIGDSTADDR),
	SWITCH(SOL_IPV6, IPV6_RECVFRAGSIZE),
	SWITCH(SOL_IPV6, IPV6_TCLASS),
	SWITCH(SOL_IPV6, IPV6_DONTFRAG),
	SWITCH(SOL_IPV6, IPV6_AUTOFLOWLABEL),
	SWITCH(SOL_IPV6, IPV6_ADDR_PREFERENCES),
	SWITCH(SOL_IPV6, IPV6_MINHOPCOUNT),
	SWITCH(SOL_IPV6, IPV6_FLOWINFO_SEND),
	SWITCH(SOL_IPV6, IPV6_CHECKSUM),

	SWITCH(SOL_TCP, TCP_NODELAY),
	SWITCH(SOL_TCP, TCP_CORK),
	SWITCH(SOL_TCP, TCP_FASTOPEN),
	SWITCH(SOL_TCP, TCP_KEEPIDLE),
	SWITCH(SOL_TCP, TCP_KEEPINTVL),
	SWITCH(SOL_TCP, TCP_KEEPCNT),
	SWITCH(SOL_TCP, TCP_SYNCNT),
	SWITCH(SOL_TCP, TCP_LINGER2),
	SWITCH(SOL_TCP, TCP_DEFER_ACCEPT),
	SWITCH(SOL_TCP, TCP_USER_TIMEOUT),
	SWITCH(SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS),
	SWITCH(SOL_TCP, TCP_NOTSENT_LOWAT),
	SWITCH(SOL_TCP, TCP_SAVE_SYN),
	SWITCH(SOL_TCP, TCP_INQ),
	SWITCH(SOL_TCP, TCP_TX_DELAY),
	SWITCH(SOL_TCP, TCP_FASTOPEN_NO_COOKIE),
	SWITCH(SOL_TCP, TCP_FASTOPEN_CONNECT),
	ROW(SOL_TCP, TCP_CONGESTION, 16, TEXT, 0),

	SWITCH(SOL_UDP, UDP_NO_CHECK6_TX),
	SWITCH(SOL_UDP, UDP_NO_CHECK6_RX),
	SWITCH(SOL_UDP, UDP_SEGMENT),
	SWITCH(SOL_UDP, UDP_GRO),
	ROW(SOL_IP, IP_MULTICAST_IF, 4, DATAGRAMS, 0),
	ROW(SOL_RAW, ICMP_FILTER, 4, DATAGRAMS, 0),
	ROW(SOL_ICMPV6, ICMP6_FILTER, 32, DATAGRAMS, 0),
	SWITCH(SOL_UDPLITE, UDPLITE_SEND_CSCOV),
	SWITCH(SOL_UDPLITE, UDPLITE_RECV_CSCOV),

	SWITCH(SOL_PACKET, PACKET_VERSION),
	SWITCH(SOL_PACKET, PACKET_RESERVE),
	SWITCH(SOL_PACKET, PACKET_TX_HAS_OFF),
	SWITCH(SOL_PACKET, PACKET_VNET_HDR),
	SWITCH(SOL_PACKET, PACKET_VNET_HDR_SZ),
	SWITCH(SOL_PACKET, PACKET_COPY_THRESH),
	SWITCH(SOL_PACKET, PACKET_AUXDATA),
	SWITCH(SOL_PACKET, PACKET_ORIGDEV),
	SWITCH(SOL_PACKET, PACKET_LOSS),
	SWITCH(SOL_PACKET, PACKET_TIMESTAMP),
	SWITCH(SOL_PACKET, PACKET_QDISC_BYPASS),
	SWITCH(SOL_PACKET, PACKET_IGNORE_OUTGOING),

	SWITCH(SOL_NETLINK, NETLINK_PKTINFO),
	SWITCH(SOL_NETLINK, NETLINK_BROADCAST_ERROR),
	SWITCH(SOL_NETLINK, NETLINK_NO_ENOBUFS),
	SWITCH(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID),
	SWITCH(SOL_NETLINK, NETLINK_CAP_ACK),
	SWITCH(SOL_NETLINK, NETLINK_EXT_ACK),
	SWITCH(SOL_NETLINK, NETLINK_GET_STRICT_CHK),

	SWITCH(SOL_SOCKET, SO_PRIORITY),
	/* Last: what the other options and a look at the queue would stumble over. */
	SWITCH(SOL_SOCKET, SO_PEEK_OFF),
	SWITCH(SOL_SOCKET, SO_LOCK_FILTER),
};

static const struct socket_option *option_find(int level, int name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].level == level && options[i].name == name)
			return &options[i];
	return NULL;
}

const char *socket_option_text(int level, int name)
{
	const struct socket_option *o = option_find(level, name);

	return o ? o->text : NULL;
}

/* The value as it stands; -1 when this socket has no such option. */
static int option_get(int fd, const struct socket_option *o, char value[256], socklen_t *ret_size)
{
	*ret_size = o->size;
	memset(value, 0, o->size);
	return getsockopt(fd, o->level, o->name, value, ret_size);
}

static bool level_listed(const int *levels, int level)
{
	while (*levels != -1 && *levels != level)
		levels++;
	return *levels == level;
}

int socket_options_dump(int fd, const int *levels, SocketCommon *s, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		SocketOption *saved, **slot;
		char value[256];
		socklen_t size;

		if ((options[i].flags & DATAGRAMS) && s->type == SOCK_STREAM)
			continue;
		if (!level_listed(levels, options[i].level) ||
		    option_get(fd, &options[i], value, &size))
			continue;
		slot = socket_repeated(&s->options, &s->n_options, sizeof(*slot));
		saved = slot ? malloc(sizeof(*saved)) : NULL;
		if (!saved) {
			s->n_options -= !!slot;
			return error_set(err, ERROR_FAILED, ENOMEM, "socket options");
		}
		socket_option__init(saved);
		*slot = saved;
		saved->level = options[i].level;
		saved->name = options[i].name;
		if (socket_bytes(&saved->value, value, size))
			return error_set(err, ERROR_FAILED, ENOMEM, "socket options");
	}
	return 0;
}

/* Whether the socket has this value already. */
static bool option_is(int fd, const struct socket_option *o, const ProtobufCBinaryData *value)
{
	char now[256];
	socklen_t size;

	return !option_get(fd, o, now, &size) && size == value->len &&
	       (!size || !memcmp(now, value->data, size));
}

static int option_set(int fd, const struct socket_option *o, const ProtobufCBinaryData *value)
{
	int number;

	if (!(o->flags & HALVED))
		return setsockopt(fd, o->level, o->name, value->data, value->len);
	memcpy(&number, value->data, sizeof(number));
	number = number / 2 + number % 2;
	return setsockopt(fd, o->level, o->force ? o->force : o->name, &number, sizeof(number));
}

static int option_check(const struct socket_option *o, const SocketOption *saved, const char *who,
			struct error *err)
{
	bool any_size;

	if (!o)
		return error_set(err, ERROR_IMAGE, 0, "%s: unknown option %u of level %u", who,
				 saved->name, saved->level);
	any_size = o->flags & (TEXT | WITH_LENGTH);
	if (saved->value.len > o->size || (!any_size && !saved->value.len) ||
	    ((o->flags & HALVED) && saved->value.len != sizeof(int)))
		return error_set(err, ERROR_IMAGE, 0, "%s: %s of %zu bytes", who, o->text,
				 saved->value.len);
	return 0;
}

int socket_options_put(int fd, const SocketCommon *s, enum socket_stage stage, const char *who,
		       struct error *err)
{
	for (size_t i = 0; i < s->n_options; i++) {
		const SocketOption *saved = s->options[i];
		const struct socket_option *o = option_find(saved->level, saved->name);

		if (option_check(o, saved, who, err))
			return -1;
		if (!!(o->flags & EARLY) != (stage == SOCKET_EARLY) ||
		    option_is(fd, o, &saved->value))
			continue;
		if (option_set(fd, o, &saved->value))
			return error_set(err, ERROR_FAILED, errno, "%s: cannot set %s", who,
					 o->text);
	}
	return 0;
}

int socket_option_saved(const SocketCommon *s, int level, int name, int otherwise)
{
	int value;

	for (size_t i = 0; i < s->n_options; i++) {
		const SocketOption *o = s->options[i];

		if (o->level != (uint32_t)level || o->name != (uint32_t)name ||
		    o->value.len < sizeof(value))
			continue;
		memcpy(&value, o->value.data, sizeof(value));
		return value;
	}
	return otherwise;
}
