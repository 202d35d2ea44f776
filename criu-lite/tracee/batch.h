/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_BATCH_H
#define CL_TRACEE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

/*
 * A batch is a list of system calls that a foreign process makes for us, with the data they read
 * and write. It is built here, in ordinary memory, runs there in one go (agent_run), and its
 * results and filled buffers are then read here:
 *
 *     struct batch b;
 *     batch_start(&b, &task->agent);
 *     uint64_t path = batch_string(&b, "/etc/motd");
 *     int file = batch_must(&b, SYS_openat, AT_FDCWD, path, O_RDONLY);
 *     uint64_t st = batch_space(&b, sizeof(struct stat));
 *     batch_from(&b, batch_must(&b, SYS_fstat, 0, st), 0, file);   // argument 0 := result of file
 *     if (agent_run(&task->agent, tracee, &b, err))
 *             return -1;
 *     const struct stat *result = batch_at(&b, st);
 *
 * Addresses returned by batch_string/put/space are addresses in the foreign process, valid for
 * this batch only. A batch never blocks; on the dump side it also closes what it opens and sends
 * nothing, so that it is harmless when run to the end without us.
 */

enum {
	BATCH_MUST = 0x100,	/* a negative result ends the batch and is the error of agent_run */
	BATCH_TWIN = 0x200,	/* the call is a clone; if its child ever runs, it exits */
};

/* The layout that the agent reads (kernel-compat/arch/…/agent.S). */
struct batch_record {
	uint32_t number,
		flags; /* flag bit k < 6: a[k] is the index of the record whose result it is */
	uint64_t a[6];
	int64_t result;
};

struct agent;

struct batch {
	uint64_t base;		/* address of its data in the foreign process */
	ARRAY_OF(struct batch_record) records;
	char *data;		/* mirror of the data part of the agent's area */
	size_t data_size, data_capacity;
	bool overflow;		/* more than the area holds: agent_run refuses */
};

/* Makes the batch empty, for this agent; memory of an earlier use is kept. The first use needs
 * zeroed memory. */
void batch_start(struct batch *b, const struct agent *agent);
void batch_release(struct batch *b);
#define _cleanup_batch_ __attribute__((cleanup(batch_release)))

/* Appends a call; returns the index of its record. */
int batch_add(struct batch *b, uint32_t flags, long number, const uint64_t a[6]);
#define batch_call(b, nr, ...) batch_add(b, 0, nr, (const uint64_t[6]){ __VA_ARGS__ })
#define batch_must(b, nr, ...) batch_add(b, BATCH_MUST, nr, (const uint64_t[6]){ __VA_ARGS__ })
/* Argument `argument` of `record` becomes the result of the earlier record `source`. */
void batch_from(struct batch *b, int record, int argument, int source);

/* The address of an argument of a record, for a call that is to write it: a call that runs later
 * takes what it finds there. */
uint64_t batch_argument(const struct batch *b, int record, int argument);

/* Reserves `size` zeroed bytes (16-byte aligned) in the foreign area; returns their address. */
uint64_t batch_space(struct batch *b, size_t size);
uint64_t batch_put(struct batch *b, const void *data, size_t size);
uint64_t batch_string(struct batch *b, const char *text);

/* Whether that much more fits; with a long list of calls run and restart the batch when not. */
bool batch_has_room(const struct batch *b, size_t records, size_t data_size);

/* After agent_run, also once the agent is gone: the result of a record, and our copy of bytes at a
 * foreign address. */
int64_t batch_result(const struct batch *b, int record);
void *batch_at(const struct batch *b, uint64_t address);

#endif
