/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TRACEE_INTERNAL_H
#define CL_TRACEE_INTERNAL_H

#include "tracee/agent.h"
#include "tracee/tracee.h"

/* Shared by the files of tracee/ only. */

/* Makes ERROR_DIED of ESRCH and ERROR_TARGET of the rest. */
int tracee_error(const struct tracee *t, int os_error, struct error *err, const char *what);
/* tracee_read without an error: -1 when the bytes are not all readable. */
int tracee_peek(const struct tracee *t, uint64_t address, void *data, size_t size);

/* arch_frame_build() of what was saved of the thread. */
size_t tracee_frame(const struct tracee *t, void *frame, uint64_t address);

/* Addresses of `syscall; ret` and of a signal return trampoline in the process's code. */
int gadgets_find(const struct tracee *t, const struct agent_site *site, uint64_t *ret_call,
		 uint64_t *ret_sigreturn, struct error *err);

/* Spreads the safety net for this held thread. */
int net_spread(struct agent *a, struct tracee *t, const struct agent_site *site,
	       struct error *err);
/* One system call over the net; *ret is negative on failure, as in the kernel. The thread stays
 * hijacked. */
int net_call_array(struct agent *a, struct tracee *t, int64_t *ret, struct error *err, long number,
		   const uint64_t args[6]);
#define net_call(a, t, ret, err, nr, ...) \
	net_call_array(a, t, ret, err, nr, (const uint64_t[6]){ __VA_ARGS__ })
/* Restores the thread and puts back what was where the net is. */
int net_gather(struct agent *a, struct tracee *t, struct error *err);

#endif
