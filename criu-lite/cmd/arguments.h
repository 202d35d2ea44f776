/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_ARGUMENTS_H
#define CL_CMD_ARGUMENTS_H

#include "base/error.h"
#include "cmd/command.h"
#include "images/stream.h"
#include "kinds/container.h"
#include "steps/options.h"

/* Values of options that several commands have. */

/* --compress: "none" (also NULL), "zstd" or "zstd:LEVEL". */
int arguments_compress(const char *text, struct stream_options *stream, struct error *err);
/* --tcp: "keep" (also NULL) or "close". */
int arguments_tcp(const char *text, enum tcp_policy *ret, struct error *err);
/* What becomes of standard descriptors: "inherit" (also NULL), "null" or a file. */
void arguments_stdio(const char *text, enum stdio_policy *policy, const char **file);

/* --external KIND[NAME]=HERE, each of the list into ret[], which has room for OPTION_LIST_MAX. */
int arguments_externals(const struct option_list *list, struct external *ret, struct error *err);
#define EXTERNAL_ROW(list)                                                                       \
	{ "external", OPTION_LIST, "KIND[NAME]=HERE",                                             \
	  "what lies outside of the tree: mnt[/path]=/here, cgroup[/path]=/here, net[name]=name, " \
	  "ns[net]=/here",                                                                        \
	  (list), 0, 0 }

#endif
