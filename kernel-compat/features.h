/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_FEATURES_H
#define CL_KERNEL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What criu-lite wants of a kernel: a row for each feature. Versions are for people; whether a
 * feature is there is found out by using it, since distributions carry features back and security
 * policies take them away.
 */
struct feature {
	const char *name;	/* in words of [a-z0-9-] */
	const char *needed_by;	/* what is done with it */
	/* What is done where it is missing; NULL: it is required, nothing can be saved or restored
	 * without it. */
	const char *without;
	const char *since;	/* the Linux that brought it; "" for a privilege */
	/* Uses the feature on ourselves and leaves nothing behind. Returns 0, or the errno value
	 * that says why not: ENOSYS or EINVAL for a kernel that does not know it, EPERM for a
	 * refusal. */
	int (*probe)(void);
};

extern const struct feature features_table[];
extern const size_t features_count;

/*
 * Result of the row's probe, unless the environment variable CRIU_LITE_WITHOUT (names, with commas
 * between) lists the feature: then ENOSYS, so that tests can walk the paths for other kernels.
 */
int feature_probe(const struct feature *feature);
/* Whether the feature of this name works. Probes anew each time (microseconds). */
bool feature_works(const char *name);
/* Whether CRIU_LITE_WITHOUT lists this name; for probes that others make by themselves: of the
 * processor it is "cpu-avx2" and the like. */
bool feature_hidden(const char *name);

#endif
