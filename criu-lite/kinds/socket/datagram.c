/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/socket/peek.h"

/* ---- dump ---- */

static const struct cmsghdr *find_control(struct msghdr *h, int level, int type, size_t size)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == level && c->cmsg_type == type &&
		    c->cmsg_len >= CMSG_LEN(size))
			return c;
	return NULL;
}

static bool control_int(struct msghdr *h, int level, int type, uint32_t *ret)
{
	const struct cmsghdr *c = find_control(h, level, type, sizeof(*ret));

	if (c)
		memcpy(ret, CMSG_DATA(c), sizeof(*ret));
	return c;
}

/* What the program would be told of it beyond its sender. */
static int take_details(struct peek *p, Datagram *m, uint32_t *ret_segment, struct error *err)
{
	struct msghdr h = { .msg_control = p->control, .msg_controllen = p->control_size };
	const struct cmsghdr *v4 = find_control(&h, SOL_IP, IP_PKTINFO, sizeof(struct in_pktinfo));
	const struct cmsghdr *v6 = find_control(&h, SOL_IPV6, IPV6_PKTINFO,
						sizeof(struct in6_pktinfo));
	const struct cmsghdr *tos = find_control(&h, SOL_IP, IP_TOS, 1);
	union inet_address to = { 0 };

	if (v4) {
		to.any.sa_family = AF_INET;
		memcpy(&to.v4.sin_addr, &((struct in_pktinfo *)CMSG_DATA(v4))->ipi_addr, 4);
	} else if (v6) {
		to.any.sa_family = AF_INET6;
		memcpy(&to.v6.sin6_addr, &((struct in6_pktinfo *)CMSG_DATA(v6))->ipi6_addr, 16);
	}
	m->has_ttl = control_int(&h, SOL_IP, IP_TTL, &m->ttl) ||
		     control_int(&h, SOL_IPV6, IPV6_HOPLIMIT, &m->ttl);
	m->has_tos = tos || control_int(&h, SOL_IPV6, IPV6_TCLASS, &m->tos);
	if (tos)
		m->tos = *CMSG_DATA(tos);
	*ret_segment = 0;
	control_int(&h, SOL_UDP, UDP_GRO, ret_segment);
	return inet_address_save(&to, &m->to, err);
}

static Datagram *add_datagram(Datagram ***ret, size_t *ret_count)
{
	Datagram **slot = socket_repeated(ret, ret_count, sizeof(*slot));

	if (!slot)
		return NULL;
	*slot = malloc(sizeof(**slot));
	if (*slot)
		datagram__init(*slot);
	else
		--*ret_count;
	return *slot;
}

/* Those that the kernel has joined for UDP_GRO become single ones again. */
static int keep(struct peek *p, Datagram ***ret, size_t *ret_count, struct error *err)
{
	union inet_address from = { 0 };
	uint32_t segment;
	size_t at = 0;

	memcpy(&from, &p->from, p->from_size < sizeof(from) ? p->from_size : sizeof(from));
	do {
		Datagram *m = add_datagram(ret, ret_count);
		size_t size = p->data.size - at;

		if (!m)
			return error_set(err, ERROR_FAILED, ENOMEM, "queue of a socket");
		if (take_details(p, m, &segment, err) || inet_address_save(&from, &m->from, err))
			return -1;
		if (segment && size > segment)
			size = segment;
		if (!m->from)
			return error_set(err, ERROR_TARGET, 0, "a datagram without a sender");
		if (socket_bytes(&m->data, p->data.data + at, size))
			return error_set(err, ERROR_FAILED, ENOMEM, "queue of a socket");
		at += size;
	} while (at < p->data.size);
	return 0;
}

int datagrams_dump(struct dump *run, struct dump_file *f, int fd, Datagram ***ret,
		   size_t *ret_count, struct error *err)
{
	_cleanup_peek_ struct peek p;
	size_t offset = 0;
	int got;

	if (peek_start(&p, run, fd, err))
		return error_wrap(err, "%s", dump_file_name(f));
	while ((got = peek_at(&p, offset, 0, err)) > 0) {
		offset += p.data.size;
		if (offset > PEEK_QUEUE_MAX)
			return error_set(err, ERROR_BLOCKED, 0, "%s: more than 15 MiB wait in it",
					 dump_file_name(f));
		if (keep(&p, ret, ret_count, err))
			return error_wrap(err, "%s", dump_file_name(f));
	}
	if (got < 0 || peek_end(&p, err))
		return error_wrap(err, "%s", dump_file_name(f));
	return 0;
}

/* ---- restore ---- */

/* One's complement sum over 16-bit words, RFC 1071. */
static uint32_t sum(const void *data, size_t size, uint32_t start)
{
	const uint8_t *bytes = data;
	uint64_t total = start;

	for (size_t i = 0; i + 1 < size; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (size % 2)
		total += (uint32_t)bytes[size - 1] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

enum { HEADERS = sizeof(struct ip6_hdr) + sizeof(struct udphdr) };

/* UDP header with its checksum over header, data and addresses. UDP-Lite has the length that the
 * checksum covers in place of the length; 0 is all. */
static void fill_udp(struct udphdr *udp, int protocol, const union inet_address *from,
		     const union inet_address *to, const void *data, size_t size)
{
	bool v4 = from->any.sa_family == AF_INET;
	uint32_t total = size + sizeof(*udp), check = protocol + total;

	udp->source = htons(inet_port(from));
	udp->dest = htons(inet_port(to));
	udp->len = protocol == IPPROTO_UDPLITE ? 0 : htons(total);
	udp->check = 0;
	check = v4 ? sum(&from->v4.sin_addr, 4, check) : sum(&from->v6.sin6_addr, 16, check);
	check = v4 ? sum(&to->v4.sin_addr, 4, check) : sum(&to->v6.sin6_addr, 16, check);
	check = sum(data, size, sum(udp, sizeof(*udp), check));
	udp->check = htons(~check & 0xffff ? ~check & 0xffff : 0xffff);
}

/* Writes the headers before the data at packet + HEADERS; returns where the packet starts. */
static uint8_t *fill_headers(uint8_t *packet, size_t size, int protocol, const Datagram *m,
			     const union inet_address *from, const union inet_address *to)
{
	uint8_t *udp = packet + HEADERS - sizeof(struct udphdr);
	struct ip6_hdr v6 = { 0 };
	struct iphdr v4 = { 0 };

	fill_udp((struct udphdr *)udp, protocol, from, to, packet + HEADERS, size);
	if (from->any.sa_family == AF_INET) {
		v4.version = 4;
		v4.ihl = 5;
		v4.tos = m->tos;
		v4.ttl = m->has_ttl ? m->ttl : 64;
		v4.protocol = protocol;
		v4.tot_len = htons(sizeof(v4) + sizeof(struct udphdr) + size);
		v4.saddr = from->v4.sin_addr.s_addr;
		v4.daddr = to->v4.sin_addr.s_addr;
		return memcpy(udp - sizeof(v4), &v4, sizeof(v4));
	}
	v6.ip6_flow = htonl(6u << 28 | (m->tos & 0xff) << 20);
	v6.ip6_plen = htons(sizeof(struct udphdr) + size);
	v6.ip6_nxt = protocol;
	v6.ip6_hlim = m->has_ttl ? m->ttl : 64;
	v6.ip6_src = from->v6.sin6_addr;
	v6.ip6_dst = to->v6.sin6_addr;
	return memcpy(udp - sizeof(v6), &v6, sizeof(v6));
}

void injector_start(struct injector *i, struct restore_files *r, struct restore_file *f,
		    int protocol, const union inet_address *local)
{
	*i = (struct injector){ .r = r, .f = f, .protocol = protocol, .local = *local,
				.raw4 = -1, .raw6 = -1 };
}

void injector_release(struct injector *i)
{
	fd_close(&i->raw4);
	fd_close(&i->raw6);
}

static int raw_socket(struct injector *i, int family, struct error *err)
{
	int *raw = family == AF_INET ? &i->raw4 : &i->raw6;
	_cleanup_batch_ struct batch b = { 0 };
	int record;

	if (*raw >= 0)
		return *raw;
	batch_start(&b, &i->f->opener->agent);
	record = batch_must(&b, SYS_socket, family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (restore_run(i->f->opener, &b, err))
		return -1;
	return *raw = restore_fetch(i->r, i->f->opener, batch_result(&b, record), err);
}

/* Where to send it: the address that it had, or that the socket has, or any of this machine. */
static void destination(const struct injector *i, const Datagram *m, int family,
			union inet_address *ret)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	union inet_address to = { .any.sa_family = family };

	*ret = i->local;
	if (m->to && !inet_address_load(m->to, m->to->address.len == 4 ? AF_INET : AF_INET6, &to,
					&ignored))
		*ret = to;
	inet_unmap(ret);
	if (ret->any.sa_family != family) {
		memset(ret, 0, sizeof(*ret));
		ret->any.sa_family = family;
	}
	if (family == AF_INET) {
		ret->v4.sin_port = htons(inet_port(&i->local));
		if (!ret->v4.sin_addr.s_addr)
			ret->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		ret->v6.sin6_port = htons(inet_port(&i->local));
		if (IN6_IS_ADDR_UNSPECIFIED(&ret->v6.sin6_addr))
			ret->v6.sin6_addr = in6addr_loopback;
	}
}

/* Memory of what waits in the socket, to see whether something has come. */
static uint32_t received(int fd)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(memory);

	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size);
	return memory[SK_MEMINFO_RMEM_ALLOC];
}

static bool arrives(const struct injector *i, uint32_t before)
{
	for (int tries = 0; tries < 20; tries++) {
		if (received(i->f->fd) != before)
			return true;
		usleep(tries ? 1000 : 0);
	}
	return false;
}

int injector_put(struct injector *i, const Datagram *m, struct error *err)
{
	_cleanup_free_ uint8_t *packet = NULL;
	union inet_address from, to, unconnected;
	uint32_t before = received(i->f->fd);
	int family, raw;
	uint8_t *start;
	ssize_t n;

	if (m->data.len > UINT16_MAX)
		return error_set(err, ERROR_IMAGE, 0, "datagram of %zu bytes", m->data.len);
	if (inet_address_load(m->from, m->from->address.len == 4 ? AF_INET : AF_INET6, &from, err))
		return -1;
	inet_unmap(&from);
	family = from.any.sa_family;
	raw = raw_socket(i, family, err);
	packet = raw < 0 ? NULL : malloc(HEADERS + m->data.len);
	if (!packet)
		return error_set(err, ERROR_FAILED, ENOMEM, "a datagram");
	destination(i, m, family, &to);
	if (m->data.len)
		memcpy(packet + HEADERS, m->data.data, m->data.len);
	start = fill_headers(packet, m->data.len, i->protocol, m, &from, &to);
	unconnected = to;
	/* The port of a raw socket's address is a protocol. */
	*(family == AF_INET ? &unconnected.v4.sin_port : &unconnected.v6.sin6_port) = 0;
	n = sendto(raw, start, packet + HEADERS + m->data.len - start, MSG_DONTWAIT,
		   &unconnected.any, inet_address_size(&unconnected));
	if (n < 0 || !arrives(i, before))
		log_info("description %u: a datagram that waited in it is lost: %s", i->f->id,
			 n < 0 ? strerror(errno) : "it does not arrive");
	return 0;
}
