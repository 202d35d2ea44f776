/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_STEPS_VERIFY_H
#define CL_STEPS_VERIFY_H

#include <stdint.h>

#include "base/error.h"

struct verify_report {
	uint32_t processes, threads;
};

/* Reads the whole image on `input`: every checksum, every reference between its records, every
 * bound of its pages, the plan of its tree and the seal. Nothing of this machine matters, nothing
 * is made. ERROR_IMAGE says what is wrong. */
int verify(int input, int jobs, struct verify_report *report, struct error *err);

#endif
