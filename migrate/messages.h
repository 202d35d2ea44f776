/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_MESSAGES_H
#define CL_MIGRATE_MESSAGES_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* The table of migrate/PROTOCOL.md. Numbers are never used for anything else again. */

enum { PROTOCOL_VERSION = 1, ID_SIZE = 16 };

enum message_kind {
	MESSAGE_HELLO = 0x300,
	MESSAGE_WELCOME,
	MESSAGE_REQUIREMENTS,
	MESSAGE_VERDICT,
	MESSAGE_IMAGE,
	MESSAGE_PROGRESS,
	MESSAGE_READY,
	MESSAGE_COMMIT,
	MESSAGE_RUNNING,
	MESSAGE_DONE,
	MESSAGE_ABORT,
	MESSAGE_ASK,
	MESSAGE_ANSWER,
	MESSAGE_PACKETS,
	MESSAGE_SAMPLES,
	MESSAGE_SAMPLES_SEEN,
	MESSAGE_ROOTFS,
	MESSAGE_ROOTFS_READY,
	MESSAGE_FILES,
	MESSAGE_LATE_FILES,
};

enum side { SIDE_SOURCE = 1, SIDE_DESTINATION = 2, SIDE_BOTH = 3 };

enum phase {
	PHASE_START, PHASE_HELLO, PHASE_PREFLIGHT, PHASE_REQUIRED, PHASE_ACCEPTED, PHASE_IMAGE,
	PHASE_READY, PHASE_COMMITTED, PHASE_RUNNING, PHASE_ASKED, PHASE_QUESTION, PHASE_ANSWERED,
	PHASE_DONE, PHASE_SAMPLED, PHASE_OFFERED,
};

struct message_row {
	uint16_t kind;
	const char *name;
	enum side sender;
	uint32_t phases;	/* 1 << enum phase for each in which it is legal */
	enum phase next;
	uint32_t max_size;
	const ProtobufCMessageDescriptor *type;
};

/* NULL for a kind that there is not. */
const struct message_row *message_row(uint16_t kind);
const char *phase_name(enum phase phase);

#endif
