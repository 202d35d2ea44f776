/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_RUNTIME_INTERNAL_H
#define CL_RUNTIME_INTERNAL_H

#include "runtime/runtime.h"

/* The rows; for the files of runtime/ only. */
extern const struct runtime runc_runtime;

#endif
