/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_NETNS_H
#define CL_NETWORK_NETNS_H

#include "base/error.h"

/* Short visits to another network namespace, setns(2). A socket belongs to the namespace that it
 * was opened in, wherever it is used afterwards. */

/* Enters the namespace that `netns` stands for, a descriptor of it or a pidfd of a process in it;
 * *ret_back is the way back. -1 stands for the one we are in. Only the calling thread goes. */
int netns_enter(int netns, int *ret_back, struct error *err);
/* Goes back and closes the way back. */
int netns_leave(int *back, struct error *err);

/* socket(2) there; close-on-exec. -1 on error. */
int netns_socket(int netns, int domain, int type, int protocol, struct error *err);

/* Takes all links of a namespace but its loopback down, unless it is that in which we are; a
 * negative descriptor is none. */
int netns_close(int network, struct error *err);

#endif
