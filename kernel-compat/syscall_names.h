/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_SYSCALL_NAMES_H
#define CL_SYSCALL_NAMES_H

/* Name of a system call of this architecture, "unknown system call" when it has none. */
const char *syscall_name(long number);

#endif
