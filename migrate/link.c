/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/control.h"
#include "images/migration.pb-c.h"
#include "migrate/pump.h"
#include "steps/steps.h"
#include "tracee/wait.h"

enum {
	LINGER_MS = 2000,	/* for the peer to see our last words */
	EXPLAIN_MS = 500,
	HELPER_MS = 2000,	/* for what it still holds to get out */
	TEXT_MAX = 8 << 10,
};

void link_init(struct link *l, enum side side, int in, int out, int timeout_ms)
{
	*l = (struct link){ .side = side, .in = in, .out = out, .timeout_ms = timeout_ms };
}

static const char *name_of(const struct link *l)
{
	return l->side == SIDE_SOURCE ? "the destination" : "the source";
}

static int broken(const struct link *l, int os_error, struct error *err)
{
	if (l->helper_reason && *l->helper_reason)
		return error_set(err, ERROR_PEER, 0, "the connection to %s is broken: %.*s",
				 name_of(l), PUMP_REASON_MAX, l->helper_reason);
	return os_error ? error_set(err, ERROR_PEER, os_error, "the connection to %s is broken",
				    name_of(l)) :
			  error_set(err, ERROR_PEER, 0, "%s has closed the connection",
				    name_of(l));
}

int link_send(struct link *l, enum message_kind kind, const ProtobufCMessage *message,
	      struct error *err)
{
	const struct message_row *row = message_row(kind);
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size = 0;

	if (!(row->sender & l->side) || !(row->phases >> l->phase & 1))
		return error_set(err, ERROR_FAILED, 0, "we cannot send %s in phase %s", row->name,
				 phase_name(l->phase));
	if (l->out < 0)
		return broken(l, 0, err);
	bytes = control_encode(kind, l->sent, message, &size);
	if (!bytes)
		return error_set(err, ERROR_FAILED, ENOMEM, "message %s", row->name);
	if (size - CONTROL_HEADER_SIZE > row->max_size)
		return error_set(err, ERROR_FAILED, 0, "our %s has %zu bytes, more than %u",
				 row->name, size - CONTROL_HEADER_SIZE, row->max_size);
	l->sent++;
	l->phase = row->next;
	return write_full(l->out, bytes, size) ? broken(l, errno, err) : 0;
}

/* Reads exactly `size` bytes until the deadline (0: none). */
static int read_by(struct link *l, void *data, size_t size, uint64_t deadline, struct error *err)
{
	size_t done = 0;

	while (done < size) {
		struct pollfd ready = { .fd = l->in, .events = POLLIN };
		uint64_t now = now_ns();
		ssize_t got;
		int n;

		if (l->in < 0)
			return broken(l, 0, err);
		if (deadline && now >= deadline)
			return error_set(err, ERROR_PEER, ETIMEDOUT, "%s does not answer",
					 name_of(l));
		n = poll(&ready, 1, deadline ? (int)((deadline - now) / 1000000 + 1) : -1);
		if (n < 0 && errno != EINTR)
			return broken(l, errno, err);
		if (n <= 0)
			continue;
		got = read(l->in, (char *)data + done, size - done);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return broken(l, got ? errno : 0, err);
		done += got;
	}
	return 0;
}

/* All but the payload, by the row. */
static int judge(struct link *l, const uint8_t bytes[CONTROL_HEADER_SIZE],
		 struct control_header *header, const struct message_row **ret, struct error *err)
{
	const struct message_row *row;

	if (control_decode(bytes, l->received, header, err))
		return -1;
	*ret = row = message_row(header->kind);
	if (!row)
		return error_set(err, ERROR_PEER, 0, "%s sends a message of unknown kind 0x%x",
				 name_of(l), header->kind);
	if (!(row->sender & ~l->side))
		return error_set(err, ERROR_PEER, 0, "%s sends %s, which is not its to send",
				 name_of(l), row->name);
	if (!(row->phases >> l->phase & 1))
		return error_set(err, ERROR_PEER, 0, "%s sends %s in phase %s", name_of(l),
				 row->name, phase_name(l->phase));
	if (header->size > row->max_size)
		return error_set(err, ERROR_PEER, 0, "%s sends %s of %u bytes, more than %u",
				 name_of(l), row->name, header->size, row->max_size);
	return 0;
}

void link_make_printable(char *text)
{
	for (; text && *text; text++)
		if ((unsigned char)*text < ' ' && *text != '\n' && *text != '\t')
			*text = '?';
}

static int heed_abort(struct link *l, MigrateAbort *m, struct error *err)
{
	l->aborted = true;
	link_make_printable(m->text);
	link_make_printable(m->hint);
	error_set(err, ERROR_PEER, 0, "%s gives up: %.*s", name_of(l), TEXT_MAX, m->text);
	return m->hint && *m->hint ? error_hint(err, "%.*s", TEXT_MAX, m->hint) : -1;
}

static int take(struct link *l, const uint8_t bytes[CONTROL_HEADER_SIZE], uint64_t deadline,
		const struct message_row **ret_row, ProtobufCMessage **ret, struct error *err)
{
	_cleanup_free_ uint8_t *payload = NULL;
	struct control_header header;
	int r;

	if (judge(l, bytes, &header, ret_row, err))
		return -1;
	payload = malloc(header.size + 1);
	if (!payload)
		return error_set(err, ERROR_FAILED, ENOMEM, "message %s", (*ret_row)->name);
	if (read_by(l, payload, header.size, deadline, err) ||
	    control_unpack(&header, payload, (*ret_row)->type, ret, err))
		return -1;
	l->received++;
	l->phase = (*ret_row)->next;
	if (header.kind != MESSAGE_ABORT)
		return 0;
	r = heed_abort(l, (MigrateAbort *)*ret, err);
	protobuf_c_message_free_unpacked(*ret, NULL);
	*ret = NULL;
	return r;
}

static uint64_t deadline_of(int timeout_ms)
{
	return timeout_ms ? now_ns() + timeout_ms * 1000000ull : 0;
}

int link_next(struct link *l, int timeout_ms, enum message_kind *ret_kind, ProtobufCMessage **ret,
	      struct error *err)
{
	uint64_t deadline = deadline_of(timeout_ms);
	uint8_t bytes[CONTROL_HEADER_SIZE];
	const struct message_row *row;

	if (read_by(l, bytes, sizeof(bytes), deadline, err) ||
	    take(l, bytes, deadline, &row, ret, err))
		return -1;
	*ret_kind = row->kind;
	return 0;
}

int link_expect(struct link *l, enum message_kind kind, int timeout_ms, ProtobufCMessage **ret,
		struct error *err)
{
	enum message_kind got;

	if (link_next(l, timeout_ms, &got, ret, err))
		return -1;
	if (got == kind)
		return 0;
	protobuf_c_message_free_unpacked(*ret, NULL);
	*ret = NULL;
	return error_set(err, ERROR_PEER, 0, "%s sends %s where %s is due", name_of(l),
			 message_row(got)->name, message_row(kind)->name);
}

int link_take(struct link *l, const uint8_t header[32], enum message_kind *ret_kind,
	      ProtobufCMessage **ret, struct error *err)
{
	const struct message_row *row;

	if (take(l, header, deadline_of(l->timeout_ms), &row, ret, err))
		return -1;
	*ret_kind = row->kind;
	return 0;
}

void link_abort(struct link *l, const struct error *why)
{
	const struct message_row *row = message_row(MESSAGE_ABORT);
	_cleanup_error_ struct error ignored = ERROR_INIT;
	MigrateAbort m = MIGRATE_ABORT__INIT;
	char text[TEXT_MAX], hint[TEXT_MAX / 2];

	if (l->aborted || l->out < 0 || !(row->phases >> l->phase & 1))
		return;
	l->aborted = true;
	strlcpy(text, why->message ? why->message : "unknown reason", sizeof(text));
	strlcpy(hint, why->hint ? why->hint : "", sizeof(hint));
	m.error = error_exit_status(why);
	m.text = text;
	m.hint = why->hint ? hint : NULL;
	link_send(l, MESSAGE_ABORT, &m.base, &ignored);
}

void link_explain(struct link *l, struct error *err)
{
	_cleanup_error_ struct error heard = ERROR_INIT;
	uint8_t bytes[CONTROL_HEADER_SIZE];
	const struct message_row *row;
	ProtobufCMessage *message;
	uint64_t deadline = now_ns() + EXPLAIN_MS * 1000000ull;

	if (err->os_error != EPIPE && err->os_error != ECONNRESET)
		return;
	while (!l->aborted && !read_by(l, bytes, sizeof(bytes), deadline, &heard) &&
	       !take(l, bytes, deadline, &row, &message, &heard))
		protobuf_c_message_free_unpacked(message, NULL);
	if (!l->aborted || !heard.message || !strcmp(heard.message, err->message ?: ""))
		return;
	error_clear(err);
	*err = heard;
	heard = ERROR_INIT;
}

/* Unread bytes would make the end a reset, which can overtake our last words. */
static void drain(struct link *l)
{
	uint64_t deadline = now_ns() + LINGER_MS * 1000000ull;
	_cleanup_error_ struct error ended = ERROR_INIT;
	char waste[4096];

	while (!read_by(l, waste, 1, deadline, &ended))
		while (recv(l->in, waste, sizeof(waste), MSG_DONTWAIT) > 0)
			;
}

void link_close(struct link *l)
{
	if (l->out >= 0) {
		if (l->out != l->in)
			fd_close(&l->out);
		else
			shutdown(l->out, SHUT_WR);
		if (l->aborted)
			drain(l);
	}
	if (l->in == l->out)
		l->out = -1;
	fd_close(&l->in);
	fd_close(&l->out);
}

void link_release(struct link *l)
{
	link_close(l);
	if (l->helper > 0)
		child_await(l->helper, HELPER_MS);
	if (l->helper_reason)
		munmap(l->helper_reason, PUMP_REASON_MAX);
	l->helper_reason = NULL;
	free(l->peer);
	l->peer = NULL;
}

/* connect(2) to AF_UNSPEC sends a reset, and leaves the descriptor there. */
static void reset(struct link *l)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	if (connect(l->out, &nowhere, sizeof(nowhere)))
		shutdown(l->out, SHUT_RDWR);
}

int link_fault(struct link *l, const char *point, struct error *err)
{
	const char *wish = steps_fault_wish(point);

	if (!wish)
		return 0;
	if (!strcmp(wish, ":kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(wish, ":stop"))
		kill(getpid(), SIGSTOP);
	if (!strcmp(wish, ":reset")) {
		reset(l);
		return 0;
	}
	if (!strcmp(wish, ":cut")) {
		if (l->in == l->out)
			l->out = -1;
		fd_close(&l->in);
		fd_close(&l->out);
		return 0;
	}
	return *wish ? 0 : error_set(err, ERROR_FAILED, 0, "fault injected at %s", point);
}
