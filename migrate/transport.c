/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "migrate/neighbour.h"
#include "migrate/pump.h"
#include "steps/unstopped.h"

enum { BACKLOG = 16, KEEPALIVE_PROBES = 3, NAME_MAX_SIZE = NI_MAXHOST + 16 };

int transport_check(const struct transport_options *o, struct error *err)
{
	bool some = o->tls_certificate || o->tls_key || o->tls_ca;
	bool all = o->tls_certificate && o->tls_key && o->tls_ca;

	if (some && !all)
		return error_set(err, ERROR_USAGE, 0,
				 "--tls-cert, --tls-key and --tls-ca belong together");
	if (o->psk_file && some)
		return error_set(err, ERROR_USAGE, 0, "--psk-file and --tls-cert exclude each other");
	if (o->via && (some || o->psk_file))
		return error_set(err, ERROR_USAGE, 0,
				 "--via brings its own authentication: no --tls-cert, no --psk-file");
	if (o->tls_name && !all)
		return error_set(err, ERROR_USAGE, 0, "--tls-name needs --tls-cert");
	return 0;
}

static bool authenticates(const struct transport_options *o)
{
	return o->tls_certificate || o->psk_file;
}

static void cleanup_addrinfo_p(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}
#define _cleanup_addrinfo_ __attribute__((cleanup(cleanup_addrinfo_p)))

/* "HOST:PORT" or "[HOST]:PORT"; both parts malloc'ed into *ret_host, whose end *ret_port is. */
static int split(const char *where, char **ret_host, const char **ret_port, struct error *err)
{
	const char *colon = strrchr(where, ':'), *host = where;
	size_t length = colon ? (size_t)(colon - where) : 0;

	if (length >= 2 && where[0] == '[' && where[length - 1] == ']') {
		host++;
		length -= 2;
	} else if (length && memchr(where, ':', length)) {
		length = 0;
	}
	if (!length || !colon[1])
		return error_set(err, ERROR_USAGE, 0, "%s: wants HOST:PORT or [HOST]:PORT", where);
	*ret_port = colon + 1;
	*ret_host = strndup(host, length);
	return *ret_host ? 0 : error_set(err, ERROR_FAILED, ENOMEM, "%s", where);
}

static int resolve(const char *where, int flags, struct addrinfo **ret, char **ret_host,
		   struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	const char *port = NULL;
	int r;

	if (split(where, ret_host, &port, err))
		return -1;
	r = getaddrinfo(*ret_host, port, &hints, ret);
	return r ? error_set(err, ERROR_PEER, 0, "%s: %s", where, gai_strerror(r)) : 0;
}

static bool is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int require_authentication(const struct transport_options *o,
				  const struct sockaddr *address, const char *where,
				  struct error *err)
{
	if (authenticates(o) || is_loopback(address))
		return 0;
	error_set(err, ERROR_USAGE, 0,
		  "%s: without authentication only loopback addresses will do: whoever reaches the port could run programs as root",
		  where);
	return error_hint(err, "use --tls-cert, --tls-key and --tls-ca, or --psk-file, or ssh: --via");
}

/* A link that died is noticed within the timeout, whether we send or wait. */
static void watch(int fd, int timeout_s)
{
	const int on = 1, interval = timeout_s / (KEEPALIVE_PROBES + 1) ?: 1;
	const int probes = KEEPALIVE_PROBES, user_ms = timeout_s * 1000;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof(user_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int connect_within(int fd, const struct addrinfo *a, int timeout_ms)
{
	struct pollfd done = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0, r;

	if (!connect(fd, a->ai_addr, a->ai_addrlen))
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	while ((r = poll(&done, 1, timeout_ms)) < 0 && errno == EINTR)
		;
	if (r == 0)
		errno = ETIMEDOUT;
	if (r <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return -1;
	errno = error;
	return error ? -1 : 0;
}

static int connect_to(const struct addrinfo *list, int timeout_s)
{
	const struct addrinfo *a;

	for (a = list; a; a = a->ai_next) {
		_cleanup_fd_ int fd = socket(a->ai_family,
					     a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 || connect_within(fd, a, timeout_s * 1000))
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		watch(fd, timeout_s);
		return steal_fd(&fd);
	}
	return -1;
}

/* Puts TLS between us and a connected socket, which it takes over. */
static int secure(const struct transport_options *o, int socket, enum side side, const char *host,
		  struct link *ret, struct error *err)
{
	_cleanup_fd_ int fd = socket;
	char *reason = NULL;
	struct tls *tls;
	pid_t pump = 0;
	int end;

	if (authenticates(o)) {
		if (tls_begin(&tls, o, fd, side, host, err) ||
		    pump_start(tls, steal_fd(&fd), &end, &pump, &reason, err))
			return -1;
		fd = end;
	}
	link_init(ret, side, fd, fd, o->timeout_s * 1000);
	steal_fd(&fd);
	ret->helper = pump;
	ret->helper_reason = reason;
	ret->plain = !authenticates(o);
	return 0;
}

/* Whatever the command is, its standard error is ours. */
static int connect_via(const struct transport_options *o, struct link *ret, struct error *err)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_set(err, ERROR_FAILED, errno, "--via");
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDIN_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		signal(SIGPIPE, SIG_DFL);
		signal(SIGXFSZ, SIG_DFL);
		unstopped_begin(NULL);
		execl("/bin/sh", "sh", "-c", o->via, NULL);
		_exit(127);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return error_set(err, ERROR_FAILED, errno, "--via");
	}
	link_init(ret, SIDE_SOURCE, ends[0], ends[0], o->timeout_s * 1000);
	ret->helper = pid;
	ret->peer = strdup(o->via);
	return 0;
}

int transport_connect(const struct transport_options *o, const char *where, struct link *ret,
		      struct error *err)
{
	_cleanup_addrinfo_ struct addrinfo *list = NULL;
	_cleanup_free_ char *host = NULL;
	_cleanup_fd_ int fd = -1;

	if (o->via)
		return connect_via(o, ret, err);
	if (resolve(where, 0, &list, &host, err) ||
	    require_authentication(o, list->ai_addr, where, err))
		return -1;
	fd = connect_to(list, o->timeout_s);
	if (fd < 0)
		return error_set(err, ERROR_PEER, errno, "cannot connect to %s", where);
	if (secure(o, steal_fd(&fd), SIDE_SOURCE, host, ret, err))
		return error_wrap(err, "%s", where);
	ret->peer = strdup(where);
	return 0;
}

static char *name_of(int fd, bool peer)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char host[NI_MAXHOST], port[NI_MAXSERV], *name;

	if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&address, &size) ||
	    getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return strdup("?");
	return asprintf(&name, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port) < 0 ? NULL :
											  name;
}

int transport_listen(const struct transport_options *o, const char *where, char **ret_name,
		     struct error *err)
{
	_cleanup_addrinfo_ struct addrinfo *list = NULL;
	_cleanup_free_ char *host = NULL;
	_cleanup_fd_ int fd = -1;
	const int on = 1;

	if (resolve(where, AI_PASSIVE, &list, &host, err) ||
	    require_authentication(o, list->ai_addr, where, err))
		return -1;
	fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, BACKLOG))
		return error_set(err, ERROR_FAILED, errno, "cannot listen on %s", where);
	*ret_name = name_of(fd, false);
	return steal_fd(&fd);
}

int transport_accept(const struct transport_options *o, int socket, struct link *ret,
		     struct error *err)
{
	char *name = name_of(socket, true);

	watch(socket, o->timeout_s);
	if (!authenticates(o) && neighbour_check(socket, err)) {
		close(socket);
		socket = -1;
	}
	if (socket < 0 || secure(o, socket, SIDE_DESTINATION, NULL, ret, err)) {
		error_wrap(err, "%s", name ?: "?");
		free(name);
		return -1;
	}
	ret->peer = name;
	return 0;
}
