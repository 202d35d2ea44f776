/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/hello.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "images/migration.pb-c.h"
#include "migrate/neighbour.h"

#define PROGRAM "criu-lite"

static int wrong_version(const char *who, uint32_t theirs, struct error *err)
{
	error_set(err, ERROR_PEER, 0, "%s speaks version %u of the protocol, we speak %d", who,
		  theirs, PROTOCOL_VERSION);
	return error_hint(err, "use the same criu-lite on both sides");
}

int hello_say(struct link *l, const uint8_t id[ID_SIZE], bool ask, uint8_t ret_destination[ID_SIZE],
	      struct error *err)
{
	MigrateHello m = MIGRATE_HELLO__INIT;
	struct utsname host = { 0 };
	ProtobufCMessage *answer;
	MigrateWelcome *welcome;
	int r = 0;

	uname(&host);
	m.version = PROTOCOL_VERSION;
	m.id = (ProtobufCBinaryData){ ID_SIZE, (uint8_t *)id };
	m.purpose = ask ? MIGRATE_HELLO__PURPOSE__ASK : MIGRATE_HELLO__PURPOSE__MIGRATE;
	m.program = PROGRAM;
	m.host = host.nodename;
	m.kernel_release = host.release;
	if (link_fault(l, "migrate-hello", err) || link_send(l, MESSAGE_HELLO, &m.base, err) ||
	    link_expect(l, MESSAGE_WELCOME, l->timeout_ms, &answer, err))
		return -1;
	/* Now it has accepted. Anybody may have listened there before the right one did. */
	if (l->plain && neighbour_check(l->in, err)) {
		protobuf_c_message_free_unpacked(answer, NULL);
		return -1;
	}
	welcome = (MigrateWelcome *)answer;
	if (welcome->version != PROTOCOL_VERSION)
		r = wrong_version("the destination", welcome->version, err);
	else if (welcome->destination.len != ID_SIZE)
		r = error_set(err, ERROR_PEER, 0, "the destination's name has %zu bytes",
			      welcome->destination.len);
	else
		memcpy(ret_destination, welcome->destination.data, ID_SIZE);
	link_make_printable(welcome->host);
	link_make_printable(welcome->kernel_release);
	log_info("destination: %s, Linux %s", welcome->host ?: "?",
		 welcome->kernel_release ?: "?");
	protobuf_c_message_free_unpacked(answer, NULL);
	if (ask)
		l->phase = PHASE_ASKED;
	return r;
}

static int welcome(struct link *l, const uint8_t destination[ID_SIZE], struct error *err)
{
	MigrateWelcome m = MIGRATE_WELCOME__INIT;
	struct utsname host = { 0 };

	uname(&host);
	m.version = PROTOCOL_VERSION;
	m.destination = (ProtobufCBinaryData){ ID_SIZE, (uint8_t *)destination };
	m.program = PROGRAM;
	m.host = host.nodename;
	m.kernel_release = host.release;
	return link_send(l, MESSAGE_WELCOME, &m.base, err);
}

int hello_hear(struct link *l, const uint8_t destination[ID_SIZE], uint8_t ret_id[ID_SIZE],
	       bool *ret_ask, struct error *err)
{
	ProtobufCMessage *message;
	MigrateHello *m;
	int r = 0;

	if (link_expect(l, MESSAGE_HELLO, l->timeout_ms, &message, err))
		return -1;
	m = (MigrateHello *)message;
	*ret_ask = m->purpose == MIGRATE_HELLO__PURPOSE__ASK;
	if (m->version != PROTOCOL_VERSION)
		r = wrong_version("the source", m->version, err);
	else if (m->id.len != ID_SIZE)
		r = error_set(err, ERROR_PEER, 0, "the source's id has %zu bytes", m->id.len);
	else
		memcpy(ret_id, m->id.data, ID_SIZE);
	link_make_printable(m->host);
	log_info("source: %s wants to %s", m->host ?: "?", *ret_ask ? "ask" : "migrate");
	protobuf_c_message_free_unpacked(message, NULL);
	if (r || link_fault(l, "receive-hello", err) || welcome(l, destination, err))
		return -1;
	if (*ret_ask)
		l->phase = PHASE_ASKED;
	return 0;
}
