/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_RECORD_H
#define CL_MIGRATE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"
#include "freeze/cell.h"
#include "migrate/messages.h"
#include "network/lock.h"

/*
 * What one side of a migration must still know when its program has died: a file ID.source.json or
 * ID.destination.json in the state directory, written anew as a whole each time, synced with its
 * directory. Whoever handles the migration holds the lock of ID.SIDE.lock.
 */

#define RECORD_DIRECTORY "/var/lib/criu-lite/migrations"
#define RECORD_ID_TEXT (2 * ID_SIZE + 1)

enum { RECORD_TEXT = 4096, RECORD_NAME = 64 };

enum record_phase {
	RECORD_PREPARING,	/* nothing was decided */
	RECORD_COMMITTING,	/* source: COMMIT may have been sent */
	RECORD_COMMITTED,	/* destination: it runs here */
};

struct record_file {
	int directory_fd, lock_fd;	/* -1: none */
	enum side side;
	enum record_phase phase;
	uint8_t id[ID_SIZE];
	uint8_t destination[ID_SIZE];	/* source: who was asked */
	uint8_t source[ID_SIZE];	/* destination: who it comes from; 0…: not known */
	/* No pointers: a process that stands in other namespaces may share it with us. */
	char peer[RECORD_TEXT];	/* source: "HOST:PORT", or empty */
	char container[RECORD_TEXT];	/* source: "RUNTIME:ID", or empty */
	char lock[LOCK_NAME];	/* source: the lock on its network that stays (network/lock.h) */
	/* Source: path of the network namespace that it shares; empty: it has one of its own. */
	char network[RECORD_TEXT];
	int pid;		/* of the tree's root; 0: not known */
	char cell[RECORD_TEXT];	/* directory of the tree's cell; empty: it has none yet */
	bool cell_made;		/* by us */
	uint64_t cell_inode;
	bool other_boot;	/* the machine has been restarted since: loaded records only */
};

/* Opens the state directory (NULL: RECORD_DIRECTORY), made if it is not there, without what others
 * have left there that were killed before they had a record. -1 on error. */
int record_directory(const char *path, struct error *err);
/* The 16 bytes that name this side for good, made at the first use of the state directory. */
int record_own_name(int directory_fd, uint8_t ret[ID_SIZE], struct error *err);

struct record_id {
	uint8_t bytes[ID_SIZE];
};
struct record_ids {
	ARRAY_OF(struct record_id) list;
};
/* All that are there of one side. */
int record_list(int directory_fd, enum side side, struct record_ids *ret, struct error *err);
void record_ids_release(struct record_ids *ids);
#define _cleanup_record_ids_ __attribute__((cleanup(record_ids_release)))

/* Begins a record and takes its lock. directory_fd stays the caller's and must stay open. */
int record_begin(struct record_file *r, int directory_fd, enum side side,
		 const uint8_t id[ID_SIZE], struct error *err);
/* Loads one and takes its lock within timeout_ms. Returns 1; 0 when there is no such record; -1
 * with os_error EWOULDBLOCK when somebody else holds the lock. */
int record_load(struct record_file *r, int directory_fd, enum side side,
		const uint8_t id[ID_SIZE], int timeout_ms, struct error *err);
/* Notes the cell of the tree; written with the next record_write(). */
int record_note_cell(struct record_file *r, const struct cell *cell, struct error *err);
/* Writes it with this phase; returns once it would survive a loss of power. */
int record_write(struct record_file *r, enum record_phase phase, struct error *err);
/* Where who cannot read a record finds out whether it is COMMITTED: the name of its file, and a
 * word that is in it then. */
void record_file_name(const struct record_file *r, char ret[RECORD_NAME]);
#define RECORD_COMMITTED_WORD "\"committed\""
/* Learns from the file what phase it has come to, if another process of ours has died writing. */
int record_refresh(struct record_file *r, struct error *err);
/* Nobody will ask any more. Keeps the lock. */
int record_remove(struct record_file *r, struct error *err);
/* Opens the cell of a loaded record. Returns 1; 0 when it is gone, or is another one by now. */
int record_open_cell(const struct record_file *r, struct cell *ret, struct error *err);
/* Gives the lock back. */
void record_release(struct record_file *r);

void record_id_text(const uint8_t id[ID_SIZE], char ret[RECORD_ID_TEXT]);
int record_parse_id(const char *text, uint8_t ret[ID_SIZE], struct error *err);

#endif
