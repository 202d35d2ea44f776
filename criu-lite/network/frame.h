/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_NETWORK_FRAME_H
#define CL_NETWORK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an Ethernet frame carries. */

enum { FRAME_TAG_SIZE = 4, FRAME_TAG_AT = 12 };	/* of VLANs; the type of the frame is behind them */

struct frame_look {
	int family;		/* AF_INET or AF_INET6 */
	int protocol;		/* IPPROTO_*, of IPv6 that of the first header behind its own */
	bool fragment;
	const uint8_t *destination;	/* its address */
	const uint8_t *payload;	/* behind the header, all that is there of it */
	size_t size;
};

/* False for what is no IP, or cut off before its end; *ret points into the frame. */
bool frame_read(const uint8_t *frame, size_t size, struct frame_look *ret);
/* Whether it asks for a new TCP connection. */
bool frame_begins_connection(const struct frame_look *look);

#endif
