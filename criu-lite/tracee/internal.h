/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_INTERNAL_H
#define CL_TRACEE_INTERNAL_H

#include "tracee/tracee.h"

/* Shared by the files of tracee/ only. */

/* Makes ERROR_DIED of ESRCH and ERROR_TARGET of the rest. */
int tracee_error(const struct tracee *t, int os_error, struct error *err, const char *what);
/* tracee_read without an error: -1 when the bytes are not all readable. */
int tracee_peek(const struct tracee *t, uint64_t address, void *data, size_t size);

#endif
