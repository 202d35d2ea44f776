/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments that seem to come from the peer. There is no call that takes a connection to the states
 * behind ESTABLISHED: what brings it there is that its peer closes, or acknowledges. They go by
 * way of "lo", raw(7), and have a mark with which the packet lock lets them pass.
 */
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/socket/tcp.h"

enum { HOPS = 64, ARRIVES_WITHIN_US = 200000, PAUSE_US = 200 };

/* What the checksum of TCP covers besides the segment, RFC 9293 and RFC 8200. */
struct pseudo_header {
	uint8_t source[16], destination[16];
	uint32_t length;
	uint32_t protocol;
	struct tcphdr tcp;
};

static uint16_t checksum(const void *data, size_t size)
{
	const uint16_t *word = data;
	uint32_t sum = 0;

	for (; size; size -= sizeof(*word))
		sum += *word++;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static struct tcphdr header(const struct inet_diag_sockid *id, const struct tcp_segment *segment)
{
	return (struct tcphdr){
		.source = id->idiag_dport,
		.dest = id->idiag_sport,
		.seq = htonl(segment->sequence),
		.ack_seq = htonl(segment->acknowledges),
		.doff = sizeof(struct tcphdr) / 4,
		.fin = segment->fin,
		.ack = 1,
		.window = htons(segment->window),
	};
}

static size_t make_v4(const struct inet_diag_sockid *id, struct pseudo_header *covered,
		      void *packet)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} *p = packet;

	p->ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(p->ip) / 4,
		.tot_len = htons(sizeof(*p)),
		.ttl = HOPS,
		.protocol = IPPROTO_TCP,
		.saddr = id->idiag_dst[0],
		.daddr = id->idiag_src[0],
	};
	covered->tcp.check = checksum(covered, sizeof(*covered));
	p->tcp = covered->tcp;
	return sizeof(*p);
}

static size_t make_v6(const struct inet_diag_sockid *id, struct pseudo_header *covered,
		      void *packet)
{
	struct {
		struct ip6_hdr ip;
		struct tcphdr tcp;
	} *p = packet;

	p->ip = (struct ip6_hdr){
		.ip6_flow = htonl(6 << 28),
		.ip6_plen = htons(sizeof(p->tcp)),
		.ip6_nxt = IPPROTO_TCP,
		.ip6_hlim = HOPS,
	};
	memcpy(&p->ip.ip6_src, id->idiag_dst, 16);
	memcpy(&p->ip.ip6_dst, id->idiag_src, 16);
	covered->tcp.check = checksum(covered, sizeof(*covered));
	p->tcp = covered->tcp;
	return sizeof(*p);
}

static int send_packet(const union inet_address *to, const void *packet, size_t size,
		       uint32_t mark)
{
	_cleanup_fd_ int raw = socket(to->any.sa_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (raw < 0 || setsockopt(raw, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return -1;
	return sendto(raw, packet, size, 0, &to->any, inet_address_size(to)) == (ssize_t)size ? 0 :
											      -1;
}

static int forge(const union inet_address *local, const union inet_address *remote,
		 const struct tcp_segment *segment, uint32_t mark)
{
	union inet_address to = *local;
	struct inet_diag_sockid id;
	int family = inet_sockid(local, remote, &id);
	size_t size = family == AF_INET ? 4 : 16;
	struct pseudo_header covered = {
		.length = htonl(sizeof(covered.tcp)),
		.protocol = htonl(IPPROTO_TCP),
		.tcp = header(&id, segment),
	};
	char packet[sizeof(struct ip6_hdr) + sizeof(struct tcphdr)]
		__attribute__((aligned(8))) = { 0 };

	memcpy(covered.source, id.idiag_dst, size);
	memcpy(covered.destination, id.idiag_src, size);
	size = family == AF_INET ? make_v4(&id, &covered, packet) : make_v6(&id, &covered, packet);
	inet_unmap(&to);
	/* A raw socket has no ports. */
	*(family == AF_INET ? &to.v4.sin_port : &to.v6.sin6_port) = 0;
	return send_packet(&to, packet, size, mark);
}

static int wait_for_state(int fd, int state)
{
	struct tcp_info info;

	for (int waited = 0; waited < ARRIVES_WITHIN_US; waited += PAUSE_US) {
		if (tcp_info_of(fd, &info))
			return -1;
		if (info.tcpi_state == state)
			return 0;
		usleep(PAUSE_US);
	}
	errno = ETIMEDOUT;
	return -1;
}

int tcp_forge(int fd, const union inet_address *local, const union inet_address *remote,
	      const struct tcp_segment *segment, uint32_t mark, int state, struct error *err)
{
	char device[IFNAMSIZ] = { 0 }, text[64];
	socklen_t size = sizeof(device);
	int failed;

	/* A socket that is bound to a device gets nothing from "lo". */
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &size))
		size = 0;
	if (size && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0))
		return error_set(err, ERROR_FAILED, errno, "SO_BINDTODEVICE");
	failed = forge(local, remote, segment, mark) || wait_for_state(fd, state);
	if (failed)
		return error_set(err, ERROR_FAILED, errno,
				 "cannot bring a connection with %s to the state it was in",
				 inet_text(remote, text));
	if (size && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, size))
		return error_set(err, ERROR_FAILED, errno, "SO_BINDTODEVICE");
	return 0;
}
