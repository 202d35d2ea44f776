/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_ARGUMENTS_H
#define CL_CMD_ARGUMENTS_H

#include <limits.h>

#include "base/error.h"
#include "cmd/command.h"
#include "images/stream.h"
#include "kinds/container.h"
#include "steps/options.h"
#include "steps/target.h"

/* Options that several commands have, and their values. */

/* struct target_name *target; verb, what becomes of it: "save". */
#define TARGET_ROWS(target, verb)                                                               \
	{ "t", OPTION_NUMBER, "PID", "the process to " verb ", with everything below it",        \
	  &(target)->pid, 1, INT_MAX },                                                          \
	{ "cgroup", OPTION_TEXT, "PATH", "the cgroup to " verb ", with every process in it",     \
	  &(target)->cgroup, 0, 0 },                                                             \
	{ "container", OPTION_TEXT, "RUNTIME:ID",                                                \
	  "the container to " verb ": runc:ID, or runc@DIRECTORY:ID", &(target)->container, 0, 0 }

/* Until when memory is copied while the program runs. */
struct rounds_arguments {
	int max_downtime, max_rounds;
};
#define ROUNDS_ARGUMENTS_INIT { .max_downtime = 100, .max_rounds = 10 }
#define ROUNDS_ROWS(a)                                                                          \
	{ "max-downtime", OPTION_NUMBER, "MS",                                                   \
	  "freeze when that is expected to take no longer (default: 100)", &(a)->max_downtime,   \
	  1, INT_MAX },                                                                          \
	{ "max-rounds", OPTION_NUMBER, "N",                                                      \
	  "freeze after so many rounds at the latest (default: 10)", &(a)->max_rounds, 0, 1000 }

#define JOBS_ROW(jobs)                                                                          \
	{ "jobs", OPTION_NUMBER, "N", "worker threads (default: one for each processor)",        \
	  (jobs), 1, 64 }

/* --compress: "none" (also NULL), "zstd" or "zstd:LEVEL". */
int arguments_compress(const char *text, struct stream_options *stream, struct error *err);
#define COMPRESS_ROW(text)                                                                      \
	{ "compress", OPTION_TEXT, "CODEC", "none (default), zstd or zstd:LEVEL", (text), 0, 0 }
/* --tcp: "keep" (also NULL) or "close". */
int arguments_tcp(const char *text, enum tcp_policy *ret, struct error *err);
#define TCP_ROW(text)                                                                           \
	{ "tcp", OPTION_TEXT, "POLICY",                                                          \
	  "connections with peers outside of the tree: keep (default) or close", (text), 0, 0 }
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
