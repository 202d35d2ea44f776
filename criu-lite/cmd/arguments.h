/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_ARGUMENTS_H
#define CL_CMD_ARGUMENTS_H

#include "base/error.h"
#include "images/stream.h"
#include "steps/options.h"

/* Values of options that several commands have. */

/* --compress: "none" (also NULL), "zstd" or "zstd:LEVEL". */
int arguments_compress(const char *text, struct stream_options *stream, struct error *err);
/* What becomes of standard descriptors: "inherit" (also NULL), "null" or a file. */
void arguments_stdio(const char *text, enum stdio_policy *policy, const char **file);

#endif
