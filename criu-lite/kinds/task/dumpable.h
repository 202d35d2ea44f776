/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_DUMPABLE_H
#define CL_KINDS_TASK_DUMPABLE_H

#include "kinds/kind.h"

extern const struct kind dumpable_kind;

/* Appends the call that sets it, prctl(2) PR_SET_DUMPABLE. Each change of credentials of any thread
 * resets it, so that those use this too. Nothing to do for a NULL message. */
int dumpable_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		 struct error *err);

#endif
