/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_RECORDS_H
#define CL_STEPS_RECORDS_H

#include "images/stream.h"

/* Record kinds of the coordinators; the kinds have theirs in their rows, memory/ in its header. */
enum { RECORD_TREE = RECORD_FIRST_FREE };

#endif
