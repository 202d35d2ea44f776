/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_FEATURES_H
#define CL_TRACEE_FEATURES_H

#include "kernel-compat/features.h"

/* What of ptrace(2) is wanted; each probe uses it on a child of ours. */
extern const struct feature tracee_features[];
extern const size_t tracee_features_count;

#endif
