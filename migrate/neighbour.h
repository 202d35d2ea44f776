/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_NEIGHBOUR_H
#define CL_MIGRATE_NEIGHBOUR_H

#include "base/error.h"

/* Whether the other end of this TCP connection between two processes of the machine is held by
 * root or by our own user: whoever else reaches a loopback port must not run programs by it, nor
 * be shown one. ERROR_PEER. It looks at /proc/thread-self/net/tcp, proc(5), so the other end must
 * have been accepted by now. */
int neighbour_check(int socket, struct error *err);

#endif
