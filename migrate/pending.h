/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_PENDING_H
#define CL_MIGRATE_PENDING_H

#include "images/migration.pb-c.h"
#include "migrate/record.h"

/* A destination keeps a record until it hears DONE, which may be lost. So a source says on each
 * connection about which migrations it may still ask. */

/* The source's side, after WELCOME, for REQUIREMENTS or ASK: *ret, to be freed with the message
 * that it becomes a part of. NULL where there are more than `max`: then nothing is said. */
int pending_collect(int directory_fd, size_t max, MigratePending **ret, struct error *err);
enum { PENDING_MAX = 4096, PENDING_MAX_ASK = 128 };

/* The destination's side: the records that were there before WELCOME was said, and that came from
 * this source, which will not ask about them, go. Those that somebody handles stay. A message that
 * is malformed is ERROR_PEER; what cannot be removed is only noted. */
int pending_prune(int directory_fd, const struct record_ids *before, const MigratePending *m,
		  struct error *err);

/* Whether the source may still ask about this one. */
bool pending_names(const MigratePending *m, const uint8_t id[ID_SIZE]);

#endif
