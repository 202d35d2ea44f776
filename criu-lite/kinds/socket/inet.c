/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

socklen_t inet_address_size(const union inet_address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

uint16_t inet_port(const union inet_address *a)
{
	return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

bool inet_is_empty(const union inet_address *a)
{
	if (a->any.sa_family == AF_INET)
		return !a->v4.sin_port && !a->v4.sin_addr.s_addr;
	return a->any.sa_family != AF_INET6 ||
	       (!a->v6.sin6_port && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr));
}

void inet_unmap(union inet_address *a)
{
	union inet_address v4 = { .v4 = { .sin_family = AF_INET } };

	if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return;
	v4.v4.sin_port = a->v6.sin6_port;
	memcpy(&v4.v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
	*a = v4;
}

bool inet_same(const union inet_address *a, const union inet_address *b)
{
	union inet_address x = *a, y = *b;

	inet_unmap(&x);
	inet_unmap(&y);
	if (x.any.sa_family != y.any.sa_family)
		return false;
	if (x.any.sa_family == AF_INET)
		return x.v4.sin_port == y.v4.sin_port &&
		       x.v4.sin_addr.s_addr == y.v4.sin_addr.s_addr;
	return x.v6.sin6_port == y.v6.sin6_port &&
	       IN6_ARE_ADDR_EQUAL(&x.v6.sin6_addr, &y.v6.sin6_addr);
}

bool inet_is_here(const union inet_address *peer, const union inet_address *own)
{
	union inet_address x = *peer, y = *own;

	inet_unmap(&x);
	inet_unmap(&y);
	if (x.any.sa_family == AF_INET)
		return ntohl(x.v4.sin_addr.s_addr) >> 24 == 127 ||
		       (y.any.sa_family == AF_INET &&
			x.v4.sin_addr.s_addr == y.v4.sin_addr.s_addr);
	return x.any.sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(&x.v6.sin6_addr) ||
		IN6_ARE_ADDR_EQUAL(&x.v6.sin6_addr, &y.v6.sin6_addr));
}

const char *inet_text(const union inet_address *a, char text[64])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
		snprintf(text, 64, "%s:%u", host, inet_port(a));
	} else {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
		snprintf(text, 64, "[%s]:%u", host, inet_port(a));
	}
	return text;
}

/* What getsockname or getpeername has answered. */
static int answer(int result, union inet_address *ret)
{
	if (!result)
		return 0;
	memset(ret, 0, sizeof(*ret));
	return errno == ENOTCONN ? 0 : -1;
}

int inet_local(int fd, union inet_address *ret)
{
	socklen_t size = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return answer(getsockname(fd, &ret->any, &size), ret);
}

int inet_remote(int fd, union inet_address *ret)
{
	socklen_t size = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return answer(getpeername(fd, &ret->any, &size), ret);
}

int inet_address_save(const union inet_address *a, InetAddress **ret, struct error *err)
{
	InetAddress *m;
	int failed;

	if (inet_is_empty(a))
		return 0;
	m = *ret = malloc(sizeof(*m));
	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "address of a socket");
	inet_address__init(m);
	m->port = inet_port(a);
	if (a->any.sa_family == AF_INET) {
		failed = socket_bytes(&m->address, &a->v4.sin_addr, 4);
	} else {
		failed = socket_bytes(&m->address, &a->v6.sin6_addr, 16);
		m->has_scope = a->v6.sin6_scope_id;
		m->scope = a->v6.sin6_scope_id;
		m->has_flow = a->v6.sin6_flowinfo;
		m->flow = a->v6.sin6_flowinfo;
	}
	return failed ? error_set(err, ERROR_FAILED, ENOMEM, "address of a socket") : 0;
}

int inet_address_load(const InetAddress *message, int domain, union inet_address *ret,
		      struct error *err)
{
	size_t size = domain == AF_INET ? 4 : 16;

	memset(ret, 0, sizeof(*ret));
	if (message->address.len != size || message->port > UINT16_MAX)
		return error_set(err, ERROR_IMAGE, 0, "address of %zu bytes, port %u",
				 message->address.len, message->port);
	ret->any.sa_family = domain;
	if (domain == AF_INET) {
		ret->v4.sin_port = htons(message->port);
		memcpy(&ret->v4.sin_addr, message->address.data, size);
		return 0;
	}
	ret->v6.sin6_port = htons(message->port);
	ret->v6.sin6_scope_id = message->scope;
	ret->v6.sin6_flowinfo = message->flow;
	memcpy(&ret->v6.sin6_addr, message->address.data, size);
	return 0;
}

int inet_sockid(const union inet_address *local, const union inet_address *remote,
		struct inet_diag_sockid *ret)
{
	union inet_address from = *local, to = *remote;

	inet_unmap(&from);
	inet_unmap(&to);
	*ret = (struct inet_diag_sockid){ 0 };
	if (from.any.sa_family == AF_INET) {
		memcpy(ret->idiag_src, &from.v4.sin_addr, 4);
		memcpy(ret->idiag_dst, &to.v4.sin_addr, 4);
		ret->idiag_sport = from.v4.sin_port;
		ret->idiag_dport = to.v4.sin_port;
		return AF_INET;
	}
	memcpy(ret->idiag_src, &from.v6.sin6_addr, 16);
	memcpy(ret->idiag_dst, &to.v6.sin6_addr, 16);
	ret->idiag_sport = from.v6.sin6_port;
	ret->idiag_dport = to.v6.sin6_port;
	ret->idiag_if = from.v6.sin6_scope_id;
	return AF_INET6;
}
