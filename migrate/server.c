/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "tracee/wait.h"

enum {
	LOOK_MS = 200,		/* how often children are looked for */
	STATUS_NOT_ONE = 64,	/* a connection that was no migration; above all exit statuses */
};

struct server {
	const struct server_options *options;
	ARRAY_OF(pid_t) children;
};

/* In the process of a connection. */
static int serve(const struct server_options *o, struct link *l)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct receive_report report;
	int r, status;

	r = destination_serve(&o->receive, l, &report, &failed);
	status = o->served(o->context, &report, l->peer, r ? &failed : NULL);
	if (report.asked || !l->received)
		status = STATUS_NOT_ONE;
	link_release(l);
	return status;
}

static int serve_socket(const struct server_options *o, int socket)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct link l;

	if (!transport_accept(&o->transport, socket, &l, &failed))
		return serve(o, &l);
	log_notice("a connection is refused: %s%s%s%s", failed.message, failed.hint ? " (" : "",
		   failed.hint ?: "", failed.hint ? ")" : "");
	return STATUS_NOT_ONE;
}

/* Collects those that have ended. Returns the exit status of a migration, or -1. */
static int reap(struct server *s)
{
	int status, signal, result = -1;
	size_t i;

	for (i = s->children.count; i-- > 0;) {
		if (!child_reap(s->children.items[i], &status, &signal))
			continue;
		s->children.items[i] = s->children.items[--s->children.count];
		if (signal)
			status = 1;
		if (status != STATUS_NOT_ONE)
			result = status;
	}
	return result;
}

static void take_one(struct server *s, int listener)
{
	int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t *place, pid;

	if (socket < 0)
		return;
	place = array_add(&s->children);
	pid = place ? fork() : -1;
	if (pid == 0) {
		close(listener);
		_exit(serve_socket(s->options, socket));
	}
	if (place && pid > 0)
		*place = pid;
	else if (place)
		s->children.count--;
	if (pid < 0)
		log_notice("cannot serve a connection: %s", strerror(errno));
	close(socket);
}

static int run(struct server *s, int listener)
{
	const struct server_options *o = s->options;

	for (;;) {
		bool full = s->children.count >= (size_t)o->connections_max;
		struct pollfd waiting = { .fd = full ? -1 : listener, .events = POLLIN };
		int n = poll(&waiting, 1, s->children.count ? LOOK_MS : -1), status;

		status = reap(s);
		if (status >= 0 && o->once)
			return status;
		if (n > 0)
			take_one(s, listener);
	}
}

int server_run(const struct server_options *options, struct error *err)
{
	struct server s = { .options = options };
	_cleanup_free_ char *name = NULL;
	_cleanup_fd_ int listener = -1;
	int status;

	if (transport_check(&options->transport, err))
		return -1;
	listener = transport_listen(&options->transport, options->listen, &name, err);
	if (listener < 0)
		return -1;
	options->listens(options->context, name ?: options->listen);
	status = run(&s, listener);
	array_release(&s.children);
	return status;
}

int server_serve_stdio(const struct server_options *options, int in, int out, struct error *err)
{
	struct link l;
	int status;

	link_init(&l, SIDE_DESTINATION, in, out, options->transport.timeout_s * 1000);
	l.peer = strdup("standard input");
	status = serve(options, &l);
	return status == STATUS_NOT_ONE ? 0 : status;
}
