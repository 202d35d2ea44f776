/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No bytes of a peer make either side of a migration crash, overrun, leak or hang. The first byte
 * says who we are and in which phase, the second whether checks are put right beforehand.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "images/format.h"
#include "images/migration.pb-c.h"
#include "migrate/link.h"
#include "migrate/requirements.h"

enum { WAYS = 2, PHASES = PHASE_DONE + 1, SIZE_LIMIT = 60 << 10 };

/* Each header fits its payload, as far as there is one. */
static void repair(uint8_t *data, size_t size)
{
	size_t at = 0;
	uint32_t number;

	for (number = 0; at + HEADER_SIZE <= size; number++) {
		uint8_t *header = data + at;
		uint32_t payload = get32(header + 24) % 512;
		struct record record = {
			.kind = 0x300 | (header[20] & 0x1f),
			.flags = RECORD_CRITICAL,
			.number = number,
			.stored_size = payload,
			.size = payload,
		};

		if (payload > size - at - HEADER_SIZE)
			record.stored_size = record.size = payload = size - at - HEADER_SIZE;
		record.checksum = format_hash(header + HEADER_SIZE, payload);
		header_encode(header, &record);
		at += HEADER_SIZE + payload;
	}
}

/* What is done with messages that hold more than numbers. */
static void use(uint16_t kind, const ProtobufCMessage *message)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct blockers blockers = { 0 };
	MigrateVerdict *verdict = NULL;

	if (kind == MESSAGE_REQUIREMENTS &&
	    !requirements_check((const MigrateRequirements *)message, &blockers, &err))
		verdict = verdict_make(&blockers, &err);
	if (kind == MESSAGE_VERDICT)
		verdict_read((const MigrateVerdict *)message, &blockers, &err);
	if (verdict)
		migrate_verdict__free_unpacked(verdict, NULL);
	blockers_release(&blockers);
}

static void listen_to(struct link *l)
{
	uint16_t kind;

	for (;;) {
		_cleanup_error_ struct error err = ERROR_INIT;
		ProtobufCMessage *message = NULL;

		/* The one that is due now. */
		for (kind = MESSAGE_HELLO; message_row(kind); kind++)
			if (kind != MESSAGE_ABORT && (message_row(kind)->phases >> l->phase & 1) &&
			    message_row(kind)->sender != l->side)
				break;
		if (!message_row(kind))
			kind = MESSAGE_HELLO;
		if (link_expect(l, kind, 1000, &message, &err))
			return;
		use(kind, message);
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = size > WAYS && size < SIZE_LIMIT ? malloc(size - WAYS) : NULL;
	struct link l;
	int ends[2];

	if (!copy || socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
		free(copy);
		return 0;
	}
	memcpy(copy, data + WAYS, size - WAYS);
	if (data[1] & 1)
		repair(copy, size - WAYS);
	if (write(ends[1], copy, size - WAYS) < 0)
		abort();
	close(ends[1]);
	link_init(&l, data[0] & 1 ? SIDE_SOURCE : SIDE_DESTINATION, ends[0], ends[0], 1000);
	l.phase = (data[0] >> 1) % PHASES;
	listen_to(&l);
	l.aborted = false;
	link_release(&l);
	free(copy);
	return 0;
}
