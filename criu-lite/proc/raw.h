/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_RAW_H
#define CL_PROC_RAW_H

#include <stdint.h>
#include <sys/types.h>

#include "proc/text.h"

/*
 * /proc/PID/net/raw, raw6, icmp and icmp6: the raw sockets and those of ping of the network
 * namespace. The only place that tells to whom one is connected: getpeername(2) does not for
 * port 0.
 */

struct proc_raw {
	uint8_t remote[16];	/* network order; 4 bytes of it for IPv4; zeros: not connected */
	uint16_t port;		/* of the peer, host order */
};

/* What the line of the socket with this inode says; `file` is for messages. Returns 1, 0 when there
 * is none, or -1. */
int proc_parse_raw(const char *file, const char *text, size_t size, bool v6, ino_t inode,
		   struct proc_raw *ret, struct error *err);
int proc_read_raw(int pid_dir, bool ping, bool v6, ino_t inode, struct proc_raw *ret,
		  struct error *err);

#endif
