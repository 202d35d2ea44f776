/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_HELLO_H
#define CL_MIGRATE_HELLO_H

#include <stdbool.h>

#include "migrate/link.h"

/* The first words of every connection. */

/* Source: says who we are and what we want, and hears who is there. */
int hello_say(struct link *l, const uint8_t id[ID_SIZE], bool ask, uint8_t ret_destination[ID_SIZE],
	      struct error *err);
/* Destination: hears that, within the timeout, and says who we are. */
int hello_hear(struct link *l, const uint8_t destination[ID_SIZE], uint8_t ret_id[ID_SIZE],
	       bool *ret_ask, struct error *err);

#endif
