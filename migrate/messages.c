/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/messages.h"

#include <stddef.h>

#include "base/array.h"
#include "images/held_packets.pb-c.h"
#include "images/migration.pb-c.h"

#define IN(phase) (1u << PHASE_##phase)
#define KIB(n) ((n) << 10)

static const struct message_row rows[] = {
	{ MESSAGE_HELLO, "HELLO", SIDE_SOURCE, IN(START), PHASE_HELLO, KIB(4),
	  &migrate_hello__descriptor },
	/* Where HELLO was said to ask, PHASE_ASKED follows. */
	{ MESSAGE_WELCOME, "WELCOME", SIDE_DESTINATION, IN(HELLO), PHASE_PREFLIGHT, KIB(4),
	  &migrate_welcome__descriptor },
	{ MESSAGE_REQUIREMENTS, "REQUIREMENTS", SIDE_SOURCE, IN(PREFLIGHT), PHASE_REQUIRED,
	  KIB(1024), &migrate_requirements__descriptor },
	{ MESSAGE_VERDICT, "VERDICT", SIDE_DESTINATION, IN(REQUIRED), PHASE_ACCEPTED, KIB(256),
	  &migrate_verdict__descriptor },
	{ MESSAGE_SAMPLES, "SAMPLES", SIDE_SOURCE, IN(ACCEPTED), PHASE_SAMPLED, KIB(2048),
	  &migrate_samples__descriptor },
	{ MESSAGE_SAMPLES_SEEN, "SAMPLES_SEEN", SIDE_DESTINATION, IN(SAMPLED), PHASE_ACCEPTED,
	  KIB(256), &migrate_samples_seen__descriptor },
	{ MESSAGE_ROOTFS, "ROOTFS", SIDE_SOURCE, IN(ACCEPTED), PHASE_OFFERED, KIB(16),
	  &migrate_rootfs__descriptor },
	{ MESSAGE_ROOTFS_READY, "ROOTFS_READY", SIDE_DESTINATION, IN(OFFERED), PHASE_ACCEPTED,
	  KIB(4), &migrate_rootfs_ready__descriptor },
	{ MESSAGE_FILES, "FILES", SIDE_SOURCE, IN(ACCEPTED), PHASE_ACCEPTED, KIB(4096),
	  &migrate_files__descriptor },
	{ MESSAGE_LATE_FILES, "LATE_FILES", SIDE_SOURCE, IN(IMAGE), PHASE_IMAGE, KIB(4096),
	  &migrate_files__descriptor },
	{ MESSAGE_IMAGE, "IMAGE", SIDE_SOURCE, IN(ACCEPTED), PHASE_IMAGE, KIB(4),
	  &migrate_image__descriptor },
	{ MESSAGE_PROGRESS, "PROGRESS", SIDE_DESTINATION, IN(IMAGE), PHASE_IMAGE, KIB(4),
	  &migrate_progress__descriptor },
	{ MESSAGE_READY, "READY", SIDE_DESTINATION, IN(IMAGE), PHASE_READY, KIB(64),
	  &migrate_ready__descriptor },
	{ MESSAGE_COMMIT, "COMMIT", SIDE_SOURCE, IN(READY), PHASE_COMMITTED, KIB(4),
	  &migrate_commit__descriptor },
	{ MESSAGE_RUNNING, "RUNNING", SIDE_DESTINATION, IN(COMMITTED), PHASE_RUNNING, KIB(64),
	  &migrate_running__descriptor },
	{ MESSAGE_PACKETS, "PACKETS", SIDE_SOURCE, IN(RUNNING), PHASE_RUNNING, KIB(16 << 10),
	  &held_packets__descriptor },
	{ MESSAGE_DONE, "DONE", SIDE_SOURCE, IN(RUNNING) | IN(ANSWERED), PHASE_DONE, KIB(4),
	  &migrate_done__descriptor },
	{ MESSAGE_ABORT, "ABORT", SIDE_BOTH,
	  IN(START) | IN(HELLO) | IN(PREFLIGHT) | IN(REQUIRED) | IN(ACCEPTED) | IN(SAMPLED) |
		  IN(OFFERED) | IN(IMAGE) | IN(READY) | IN(ASKED) | IN(QUESTION),
	  PHASE_DONE, KIB(16), &migrate_abort__descriptor },
	{ MESSAGE_ASK, "ASK", SIDE_SOURCE, IN(ASKED), PHASE_QUESTION, KIB(4),
	  &migrate_ask__descriptor },
	{ MESSAGE_ANSWER, "ANSWER", SIDE_DESTINATION, IN(QUESTION), PHASE_ANSWERED, KIB(4),
	  &migrate_answer__descriptor },
};

const struct message_row *message_row(uint16_t kind)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == kind)
			return &rows[i];
	return NULL;
}

const char *phase_name(enum phase phase)
{
	static const char *const names[] = {
		[PHASE_START] = "start",	 [PHASE_HELLO] = "hello",
		[PHASE_PREFLIGHT] = "preflight", [PHASE_REQUIRED] = "required",
		[PHASE_ACCEPTED] = "accepted",	 [PHASE_IMAGE] = "image",
		[PHASE_READY] = "ready",	 [PHASE_COMMITTED] = "committed",
		[PHASE_RUNNING] = "running",	 [PHASE_ASKED] = "asked",
		[PHASE_QUESTION] = "question",	 [PHASE_ANSWERED] = "answered",
		[PHASE_DONE] = "done",		 [PHASE_SAMPLED] = "sampled",
		[PHASE_OFFERED] = "offered",
	};

	return (size_t)phase < ARRAY_SIZE(names) ? names[phase] : "?";
}
