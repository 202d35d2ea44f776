/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "steps/unstopped.h"

enum {
	BUFFER_SIZE = 256 << 10,
	PAIR_BUFFER = 4 << 20,
};

/* One direction: what was taken from one end and not yet given to the other. */
struct flow {
	char *data;
	size_t at, size;
	bool ended;	/* nothing more comes in … */
	bool told;	/* … and the other end knows */
};

struct pump {
	struct tls *tls;
	int socket, pair;
	struct flow out, in;	/* out: from us to the peer */
	bool broken;
	short tls_in, tls_out;	/* what the last try waited for; 0: it did not */
};

static bool has_room(const struct flow *f)
{
	return !f->ended && f->at == f->size;
}

static void took(struct pump *p, struct flow *f, ssize_t got)
{
	if (got > 0) {
		f->at = 0;
		f->size = got;
	} else if (got == 0) {
		f->ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		f->ended = p->broken = true;
	}
}

static void gave(struct pump *p, struct flow *f, ssize_t put)
{
	if (put > 0)
		f->at += put;
	else if (put < 0 && errno != EAGAIN && errno != EINTR)
		p->broken = true;
}

/* Each function: one try. True when something moved. */
static bool send_out(struct pump *p)
{
	size_t before = p->out.at;

	if (has_room(&p->out))
		took(p, &p->out, read(p->pair, p->out.data, BUFFER_SIZE));
	p->tls_out = 0;
	if (p->out.at < p->out.size) {
		ssize_t put = tls_write(p->tls, p->out.data + p->out.at, p->out.size - p->out.at);

		if (put < 0 && errno == EAGAIN)
			p->tls_out = tls_waits_for(p->tls);
		gave(p, &p->out, put);
	} else if (p->out.ended && !p->out.told) {
		tls_say_end(p->tls);
		p->out.told = true;
	}
	return p->out.at != before;
}

static bool bring_in(struct pump *p)
{
	bool moved = false;

	p->tls_in = 0;
	if (has_room(&p->in)) {
		ssize_t got = tls_read(p->tls, p->in.data, BUFFER_SIZE);

		if (got < 0 && errno == EAGAIN)
			p->tls_in = tls_waits_for(p->tls);
		took(p, &p->in, got);
		moved = got > 0;
	}
	if (p->in.at < p->in.size) {
		ssize_t put = write(p->pair, p->in.data + p->in.at, p->in.size - p->in.at);

		gave(p, &p->in, put);
		moved = moved || put > 0;
	} else if (p->in.ended && !p->in.told) {
		shutdown(p->pair, SHUT_WR);
		p->in.told = true;
	}
	return moved;
}

static void wait_for_work(const struct pump *p)
{
	struct pollfd ends[] = {
		{ .fd = p->socket, .events = p->tls_in | p->tls_out },
		{ .fd = p->pair,
		  .events = (has_room(&p->out) ? POLLIN : 0) |
			    (p->in.at < p->in.size ? POLLOUT : 0) },
	};

	/* What is not waited for must not wake us: POLLHUP always would. */
	if (!ends[0].events)
		ends[0].fd = -1;
	if (!ends[1].events)
		ends[1].fd = -1;
	poll(ends, 2, -1);
}

static void run(struct pump *p)
{
	while (!p->broken && !(p->out.told && p->in.told)) {
		bool out = send_out(p), in = bring_in(p);

		if (!out && !in && !p->broken && !(p->out.told && p->in.told))
			wait_for_work(p);
	}
}

static void close_between(int first, int last)
{
	if (first <= last)
		close_range(first, last, 0);
}

/* Nothing but the two ends is left of what we had; the standard descriptors lead nowhere. */
static void keep_ends(const struct pump *p)
{
	const int low = p->pair < p->socket ? p->pair : p->socket;
	const int high = p->pair + p->socket - low;
	const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	int i;

	for (i = 0; i <= STDERR_FILENO && nowhere >= 0; i++)
		dup2(nowhere, i);
	close_between(STDERR_FILENO + 1, low - 1);
	close_between(low + 1, high - 1);
	close_range(high + 1, ~0u, 0);
	fcntl(p->pair, F_SETFL, fcntl(p->pair, F_GETFL) | O_NONBLOCK);
}

__attribute__((noreturn)) static void be_pump(struct tls *tls, int socket, int pair, char *reason)
{
	struct pump p = { .tls = tls, .socket = socket, .pair = pair };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	keep_ends(&p);
	p.out.data = malloc(BUFFER_SIZE);
	p.in.data = malloc(BUFFER_SIZE);
	if (p.out.data && p.in.data)
		run(&p);
	if (p.broken)
		tls_reason(tls, reason, PUMP_REASON_MAX);
	_exit(0);
}

int pump_start(struct tls *tls, int socket, int *ret, pid_t *ret_pid, char **ret_reason,
	       struct error *err)
{
	const int size = PAIR_BUFFER;
	int ends[2], i;

	*ret_reason = mmap(NULL, PUMP_REASON_MAX, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*ret_reason == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		error_set(err, ERROR_FAILED, errno, "TLS");
		tls_free(tls);
		close(socket);
		return -1;
	}
	for (i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret_pid = fork();
	if (*ret_pid == 0) {
		close(ends[0]);
		unstopped_begin(NULL);
		be_pump(tls, socket, ends[1], *ret_reason);
	}
	if (*ret_pid < 0)
		error_set(err, ERROR_FAILED, errno, "TLS");
	tls_free(tls);
	close(socket);
	close(ends[1]);
	*ret = ends[0];
	if (*ret_pid < 0)
		close(ends[0]);
	return *ret_pid < 0 ? -1 : 0;
}
