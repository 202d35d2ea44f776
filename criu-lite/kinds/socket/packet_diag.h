/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_PACKET_DIAG_H
#define CL_KINDS_SOCKET_PACKET_DIAG_H

#include <linux/packet_diag.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/* What the kernel tells of packet sockets, sock_diag(7) with AF_PACKET. */

struct packet_diag {
	ARRAY_OF(struct packet_diag_mclist) memberships;
	bool has_receive_ring, has_send_ring;
	struct packet_diag_ring receive_ring, send_ring;
};

/* Of the socket with this inode in the namespace of `diag` (diag_open()). Returns 1, 0 when the
 * kernel cannot tell (CONFIG_PACKET_DIAG) or there is none, or -1. Release *ret. */
int packet_diag(int diag, ino_t inode, struct packet_diag *ret, struct error *err);
/* Adds what one part of an answer says of it. Returns 1 when more parts follow, 0, or -1. */
int packet_diag_part(const void *answer, size_t size, ino_t inode, struct packet_diag *ret,
		     bool *found, struct error *err);
void packet_diag_release(struct packet_diag *d);
#define _cleanup_packet_diag_ __attribute__((cleanup(packet_diag_release)))

#endif
