/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_UNLOCK_H
#define CL_STEPS_UNLOCK_H

#include <stdbool.h>

#include "base/error.h"

/* Removes the packet lock that a checkpoint has left for the image on `input`, of which only the
 * beginning is read. *ret_was: there was one in this network namespace. */
int unlock(int input, bool *ret_was, struct error *err);

#endif
