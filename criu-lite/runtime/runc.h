/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_RUNTIME_RUNC_H
#define CL_RUNTIME_RUNC_H

#include "runtime/runtime.h"

/* The parts of the row for runc(8); for the files of runtime/ only. */

/* Text of the state of the container in its new place; malloc'ed, NULL on error. */
char *runc_state_here(const struct runtime_container *c, const struct runtime_place *place,
		      struct error *err);
char *runc_config_file(const struct runtime_container *c, const char *rootfs);
int runc_write(const struct runtime_container *c, const struct runtime_place *place,
	       struct error *err);

#endif
