/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_FUZZ_PROC_FUZZ_H
#define CL_TESTS_FUZZ_PROC_FUZZ_H

/*
 * What the fuzz targets of the /proc parsers share. A parser either succeeds with a result that
 * holds its promises, or fails with an error that has a message, and leaves nothing allocated.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(int promise)
{
	if (!promise)
		abort();
}

/* True when the parser succeeded; an error is checked and cleared. */
static inline int accepted(int result, struct error *err)
{
	must(result == 0 || result == -1);
	must((result == 0) == (err->kind == ERROR_NONE));
	must(result == 0 || (err->message && *err->message));
	error_clear(err);
	return result == 0;
}

#endif
