/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_SIGINFO_H
#define CL_KINDS_TASK_SIGINFO_H

#include <signal.h>

#include "base/array.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

/* Signals that wait, shared by the two kinds that save them. */
struct siginfo_list {
	ARRAY_OF(siginfo_t) signals;
	ARRAY_OF(ProtobufCBinaryData) fields;	/* of a message; filled by siginfo_fields() */
};

void siginfo_list_release(struct siginfo_list *list);
#define _cleanup_siginfo_list_ __attribute__((cleanup(siginfo_list_release)))

/* Appends the signals that wait for the thread, or for its process when shared. */
int siginfo_list_read(struct siginfo_list *list, struct tracee *t, bool shared, struct error *err);
/* Appends signals (bit 0 is signal 1) that have reached us instead of the thread. */
int siginfo_list_add(struct siginfo_list *list, uint64_t signals, struct error *err);
/* Makes the protobuf fields, which point into the list. */
int siginfo_fields(struct siginfo_list *list, struct error *err);
/* Reads one field of a message; false when it cannot be a signal that waits. */
bool siginfo_from_field(const ProtobufCBinaryData *field, siginfo_t *ret);

/* Signals (bit 0 is signal 1) that will wait in the process or one of its threads again. */
uint64_t siginfo_saved(const struct restore_task *t);

/*
 * Queue the signals of a message again, the thread to itself: rt_tgsigqueueinfo(2), or
 * rt_sigqueueinfo(2) when shared. As many as fit go into the batch of put(); with more than that
 * all of them are left to finish(), which runs batches of its own.
 */
int siginfo_put(struct restore_thread *t, const ProtobufCBinaryData *fields, size_t count,
		bool shared, struct batch *b, struct error *err);
int siginfo_finish(struct restore_thread *t, const ProtobufCBinaryData *fields, size_t count,
		   bool shared, struct error *err);

#endif
