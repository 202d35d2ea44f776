/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_LINK_H
#define CL_MIGRATE_LINK_H

#include <stdbool.h>
#include <sys/types.h>

#include "images/stream.h"
#include "migrate/messages.h"

/*
 * One end of a connection and what may be said on it now. Every message passes through here, and is
 * checked by its row: who sends it, in which phase, how long it is.
 *
 * Errors are ERROR_PEER. A peer's ABORT is one, too, with what it says.
 */

struct link {
	enum side side;		/* ours */
	int in, out;		/* may be the same; owned. -1: closed */
	pid_t helper;		/* stands between us and the peer, and ends with the link; or 0 */
	char *helper_reason;	/* shared with it: why the connection broke; or NULL */
	enum phase phase;
	uint32_t sent, received;
	int timeout_ms;		/* for an answer that takes the peer no work */
	char *peer;		/* for people; owned */
	bool plain;		/* nobody has authenticated the peer: migrate/neighbour.h */
	bool aborted;		/* the peer, or we, have said ABORT */
};

void link_init(struct link *l, enum side side, int in, int out, int timeout_ms);
/* Sends a message that is ours to send now. */
int link_send(struct link *l, enum message_kind kind, const ProtobufCMessage *message,
	      struct error *err);
/* Waits for the next message, which must be of this kind; the caller frees it. timeout_ms 0 waits
 * as long as the connection lives. */
int link_expect(struct link *l, enum message_kind kind, int timeout_ms, ProtobufCMessage **ret,
		struct error *err);
/* The same for whichever is legal now. */
int link_next(struct link *l, int timeout_ms, enum message_kind *ret_kind, ProtobufCMessage **ret,
	      struct error *err);
/* The same when its header has been read by somebody else. */
int link_take(struct link *l, const uint8_t header[32], enum message_kind *ret_kind,
	      ProtobufCMessage **ret, struct error *err);
/* Tells the peer, if it may still be told, why we give up. */
void link_abort(struct link *l, const struct error *why);
/* Our side has failed to write, perhaps because the peer has given up: puts what it has to say
 * about that into *err. */
void link_explain(struct link *l, struct error *err);
/* A foreign text for a terminal: control characters become "?". NULL-safe. */
void link_make_printable(char *text);
/* Ends it: the peer sees the end behind all that was sent. */
void link_close(struct link *l);
void link_release(struct link *l);

/*
 * A point at which tests inject faults (CRIU_LITE_FAULT, steps/steps.h): fails, ":kill" ends this
 * process, ":stop" stops it, ":reset" resets the connection and goes on, ":cut" ends it without a
 * word and goes on.
 */
int link_fault(struct link *l, const char *point, struct error *err);

#endif
