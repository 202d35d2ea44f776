/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_SILENCE_H
#define CL_MIGRATE_SILENCE_H

#include "base/array.h"
#include "freeze/cell.h"

/* TCP sockets of frozen processes, put into repair mode (TCP_REPAIR, Linux 3.5), in which a socket
 * that is closed sends nothing. Our duplicates must stay until the processes have ended. */
struct silence {
	ARRAY_OF(int) sockets;
};

int silence_cell(struct silence *s, const struct cell *cell, struct error *err);
void silence_release(struct silence *s);
#define _cleanup_silence_ __attribute__((cleanup(silence_release)))

#endif
